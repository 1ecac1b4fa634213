"""Everything that the database holds about a person, read for an export. `storage/personal_data.py` lists the columns;
a test compares."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.export import document as d
from messenger.app.records import StoredMessage
from messenger.channels.messages import MediaRef
from messenger.queries.person_accesses import access_rows
from messenger.queries.person_waiting import waiting_of
from messenger.storage.chats import name_place
from messenger.storage.conversations import SqlConversations
from messenger.storage.data_keys import DataKeys
from messenger.storage.messages import MESSAGE_COLUMNS, as_message
from messenger.storage.models.conversations import (
    case_member,
    channel_identity,
    chat,
    contact,
    conversation,
    event_log,
    message,
    place,
    reaction,
    remote_message,
    routing_decision,
    told,
)
from messenger.storage.models.crypto import mx_device
from messenger.storage.models.people import skill_group, staff
from messenger.storage.models.queues import timer
from messenger.storage.models.rights import rights_request
from messenger.storage.models.rooms import mx_member

FilePlaces = Callable[[str, MediaRef], d.ExportedFile]
_TIMES = (
    "queued_at",
    "claimed_at",
    "waiting_since",
    "unanswered_since",
    "answered_at",
    "warned_at",
    "paused_at",
    "pause_until",
)


class Aliases:
    """Members of staff by number: who they are is their own data. `people`: the ids and addresses of them all, each
    address with its id."""

    def __init__(self, people: Mapping[str, str]) -> None:
        self._people, self._known = people, dict[str, str]()

    def of(self, id: object) -> str:
        return self._known.setdefault(str(id), f"staff-{len(self._known) + 1}")

    def actor(self, actor: str) -> str:
        kind, _, id = actor.partition(":")
        return self.of(id) if kind == "agent" else kind

    def tame(self, value: Any) -> Any:
        """The same with a number in the place of each id or address of a member of staff, however deep it stands."""
        match value:
            case str() if value in self._people:
                return self.of(self._people[value])
            case dict():
                return {self.tame(key): self.tame(each) for key, each in value.items()}
            case list():
                return [self.tame(each) for each in value]
            case _:
                return value


async def person_export(
    engine: AsyncEngine, keys: DataKeys, person: UUID, *, organisation: str, now: datetime, files: FilePlaces
) -> d.Export:
    """`files` says where in the archive a file will lie. Raises KeyDestroyed for somebody who was erased."""
    async with engine.begin() as connection:
        return await _Reader(connection, keys, files).export(person, organisation=organisation, now=now)


class _Reader:
    def __init__(self, connection: AsyncConnection, keys: DataKeys, files: FilePlaces) -> None:
        self._connection, self._keys, self._files = connection, keys, files
        self._staff = Aliases({})

    async def export(self, person: UUID, *, organisation: str, now: datetime) -> d.Export:
        self._staff = Aliases(await self._people())
        row = (await self._connection.execute(sa.select(contact).where(contact.c.id == person))).one()
        name = (await self._keys.open(row.enc_name, where=name_place(person))).decode() if row.enc_name else ""
        addresses = await self._addresses(person)
        rooms = await self._rooms(person)
        conversations = await self._conversations(person)
        ids = [UUID(each.id) for each in conversations]
        return d.Export(
            format=d.FORMAT,
            organisation=organisation,
            made_at=now,
            contact=str(person),
            name=name,
            known_since=row.made_at,
            consent_at=row.consent_at,
            consent_source=row.consent_source,
            restricted_at=row.restricted_at,
            restricted_reason=row.restricted_reason,
            held_at=row.held_at,
            held_reason=row.held_reason,
            addresses=addresses,
            rooms=rooms,
            devices=await self._devices([each.value for each in addresses]),
            conversations=conversations,
            waiting=await waiting_of(
                self._connection, self._keys, person, conversations=ids, addresses=[each.value for each in addresses]
            ),
            rights=await self._rights(person),
            accesses=await self._accesses(person, ids),
        )

    async def _all(self, query: Any) -> Sequence[Any]:
        return (await self._connection.execute(query)).all()

    async def _people(self) -> Mapping[str, str]:
        rows = await self._all(sa.select(staff.c.id, staff.c.address))
        return {name: str(row.id) for row in rows for name in (str(row.id), row.address)}

    async def _addresses(self, person: UUID) -> list[d.Address]:
        rows = await self._all(sa.select(channel_identity).where(channel_identity.c.contact_id == person))
        return [d.Address(kind=row.kind, value=row.value, scope=row.scope) for row in rows]

    async def _rooms(self, person: UUID) -> list[d.Room]:
        rows = await self._all(sa.select(chat).where(chat.c.contact_id == person).order_by(chat.c.made_at))
        return [
            d.Room(
                account=row.account,
                room=row.remote,
                language=row.language,
                since=row.made_at,
                members=await self._members(row.remote),
            )
            for row in rows
        ]

    async def _members(self, room: str) -> Mapping[str, str]:
        rows = await self._all(sa.select(mx_member).where(mx_member.c.room_id == room))
        return {self._staff.tame(row.user_id): row.membership for row in rows}

    async def _devices(self, addresses: Sequence[str]) -> list[d.Device]:
        query = sa.select(mx_device.c.user_id, mx_device.c.device_id).where(mx_device.c.user_id.in_(addresses))
        return [d.Device(user=row.user_id, device=row.device_id) for row in await self._all(query)]

    async def _conversations(self, person: UUID) -> list[d.Conversation]:
        query = (
            sa.select(conversation, skill_group.c.name.label("group_name"))
            .outerjoin_from(conversation, skill_group, skill_group.c.id == conversation.c.group_id)
            .where(conversation.c.contact_id == person)
            .order_by(conversation.c.opened_at)
        )
        return [await self._conversation(row) for row in await self._all(query)]

    async def _conversation(self, row: Any) -> d.Conversation:
        return d.Conversation(
            id=str(row.id),
            number=row.number,
            state=row.state,
            language=row.language,
            group=row.group_name or "",
            opened_at=row.opened_at,
            resolved_at=row.resolved_at,
            resolution=row.resolution,
            times={name: row._mapping[name] for name in _TIMES},
            previous=str(row.previous_id) if row.previous_id else None,
            tags=await SqlConversations(self._connection, self._keys).tags(row.id),
            readers=await self._readers(row.id),
            places=[
                each.room_id for each in await self._all(sa.select(place).where(place.c.conversation_id == row.id))
            ],
            messages=await self._messages(row.id),
            history=await self._history(row.id),
            decisions=await self._decisions(row.id),
            timers=await self._timers(row.id),
        )

    async def _readers(self, id: UUID) -> list[str]:
        """Of a room of its own, and who was told something once."""
        members = sa.select(case_member.c.staff_id).where(case_member.c.conversation_id == id)
        told_ones = sa.select(told.c.staff_id).where(told.c.conversation_id == id)
        return [self._staff.of(row.staff_id) for row in await self._all(members.union(told_ones))]

    async def _messages(self, id: UUID) -> list[d.Message]:
        rows = await self._all(
            sa.select(*MESSAGE_COLUMNS).where(message.c.conversation_id == id).order_by(message.c.seq)
        )
        reactions = await self._grouped(
            sa.select(reaction.c.message_id, reaction.c.sender, reaction.c.key)
            .join_from(reaction, message, message.c.id == reaction.c.message_id)
            .where(message.c.conversation_id == id)
        )
        ids = await self._grouped(
            sa.select(remote_message.c.message_id, remote_message.c.remote_id).where(
                remote_message.c.conversation_id == id, remote_message.c.message_id.is_not(None)
            )
        )
        return [
            self._message(await as_message(row, self._keys), reactions.get(row.m_id, ()), ids.get(row.m_id, ()))
            for row in rows
        ]

    async def _grouped(self, query: Any) -> dict[UUID, list[Any]]:
        grouped: dict[UUID, list[Any]] = {}
        for row in await self._all(query):
            grouped.setdefault(row.message_id, []).append(row)
        return grouped

    def _message(self, stored: StoredMessage, reactions: Sequence[Any], ids: Sequence[Any]) -> d.Message:
        by_us = self._staff.of(stored.author) if stored.author else ""
        content = stored.content
        return d.Message(
            id=str(stored.id),
            at=stored.at,
            author=by_us or stored.speaker or "person",
            kind=stored.type,
            text=content.full_text or content.text,
            html=content.html,
            fate=stored.fate.value if stored.fate else None,
            edited_at=stored.edited_at,
            is_deleted=stored.is_deleted,
            is_unverified=stored.is_unverified,
            reply_to=str(stored.reply_to) if stored.reply_to else None,
            files=[self._files(str(stored.id), ref) for ref in content.media],
            reactions=[d.Reaction(sender=self._staff.tame(row.sender), key=row.key) for row in reactions],
            ids=[row.remote_id for row in ids],
        )

    async def _history(self, id: UUID) -> list[d.Happened]:
        query = sa.select(event_log).where(event_log.c.conversation_id == id).order_by(event_log.c.version)
        return [
            d.Happened(at=row.at, what=row.type, who=self._staff.actor(row.actor), details=self._tame(row.ids))
            for row in await self._all(query)
        ]

    async def _decisions(self, id: UUID) -> list[d.Decision]:
        query = sa.select(routing_decision).where(routing_decision.c.conversation_id == id)
        rows = await self._all(query.order_by(routing_decision.c.id))
        return [d.Decision(at=row.at, explanation=self._tame(row.explanation)) for row in rows]

    def _tame(self, stored: Any) -> dict[str, object]:
        tame: dict[str, object] = self._staff.tame(json.loads(stored) if isinstance(stored, str) else stored)
        return tame

    async def _timers(self, id: UUID) -> list[d.Happened]:
        rows = await self._all(sa.select(timer).where(timer.c.conversation_id == id))
        return [d.Happened(at=row.due_at, what=row.kind, who="system", details={}) for row in rows]

    async def _rights(self, person: UUID) -> list[d.Right]:
        query = sa.select(rights_request).where(rights_request.c.contact_id == person)
        return [
            d.Right(
                id=row.id,
                kind=row.kind,
                asked_at=row.asked_at,
                approved_at=row.approved_at,
                expires_at=row.expires_at,
                used_at=row.used_at,
            )
            for row in await self._all(query.order_by(rights_request.c.asked_at))
        ]

    async def _accesses(self, person: UUID, ids: Sequence[UUID]) -> list[d.Access]:
        return [
            d.Access(
                at=row.at,
                who=self._staff.actor(row.actor),
                action=row.action,
                about=row.object,
                purpose=row.purpose,
                outcome=row.outcome,
                reason=row.reason,
                group=row.group_name,
            )
            for row in await access_rows(self._connection, person, ids)
        ]


def with_files(export: d.Export, found: Mapping[str, d.ExportedFile]) -> d.Export:
    """The same with what has become of each file, by its path in the archive."""

    def settled(each: d.Message) -> d.Message:
        return replace(each, files=[found.get(file.path, file) for file in each.files])

    conversations = [
        replace(each, messages=[settled(said) if said.files else said for said in each.messages])
        for each in export.conversations
    ]
    return replace(export, conversations=conversations)
