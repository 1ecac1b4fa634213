"""Conversations: the locked state, the log beside it, and the case with everything around it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import Case, PlaceRow, StoredMessage
from messenger.domain.conversation import Conversation, OnItsWay, State
from messenger.domain.errors import Blocked, PersonErased, ProcessingRestricted
from messenger.domain.events import Recorded
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause, Pause
from messenger.domain.people import Agent
from messenger.observability.failpoints import fp
from messenger.storage.chats import CHAT_COLUMNS, ChatRows, as_chat
from messenger.storage.codec import event_ids, load_event
from messenger.storage.data_keys import DataKeys, conversation_scope
from messenger.storage.encryption import KeyDestroyed
from messenger.storage.messages import MESSAGE_COLUMNS, as_message, key_of_conversation
from messenger.storage.models.conversations import (
    channel_identity,
    chat,
    contact,
    conversation,
    event_log,
    message,
    place,
)
from messenger.storage.models.people import skill_group, staff
from messenger.storage.models.rooms import room_succession
from messenger.storage.people import as_group
from messenger.storage.together import Write, write

_LOCK = sa.select(conversation).where(conversation.c.id == sa.bindparam("which")).with_for_update()
_other = conversation.alias("other")
_HAS_OTHERS = (
    sa.exists()
    .where(
        _other.c.chat_id == conversation.c.chat_id, _other.c.id != conversation.c.id, _other.c.state != State.RESOLVED
    )
    .label("is_one_of_several")
)
_CASES = (
    sa.select(
        conversation,
        _HAS_OTHERS,
        skill_group.c.id.label("g_id"),
        skill_group.c.name.label("g_name"),
        skill_group.c.is_default,
        skill_group.c.languages,
        skill_group.c.keywords,
        skill_group.c.settings,
        skill_group.c.room_id,
        sa.exists()
        .where(
            place.c.conversation_id == conversation.c.id,
            place.c.room_id == conversation.c.card_room,
            place.c.is_room,
        )
        .label("is_own_room"),
        staff.c.address.label("s_address"),
        staff.c.name.label("s_name"),
        staff.c.language.label("s_language"),
        *CHAT_COLUMNS,
    )
    .join_from(conversation, skill_group, conversation.c.group_id == skill_group.c.id)
    .join(chat, chat.c.id == conversation.c.chat_id)
    .join(contact, contact.c.id == chat.c.contact_id)
    .join(channel_identity, channel_identity.c.id == chat.c.identity_id)
    .outerjoin(staff, staff.c.id == conversation.c.owner_id)
)
_CASE = _CASES.where(conversation.c.id == sa.bindparam("which"))
_CASE_OF = (
    _CASES.add_columns(*MESSAGE_COLUMNS)
    .join(message, message.c.conversation_id == conversation.c.id)
    .where(message.c.id == sa.bindparam("which"))
)

# What changes in the life of a conversation, in the order of the table.
_CHANGING = (
    "version",
    "state",
    "language",
    "group_id",
    "owner_id",
    "claimed_at",
    "waiting_since",
    "answered_at",
    "warned_at",
    "queued_at",
    "place",
    "is_in_room",
    "paused_by",
    "paused_at",
    "pause_until",
    "wake_on",
    "pause_note",
    "resolved_at",
    "resolution",
    "unrouted",
    "scheduled",
    "on_their_way",
)
_WRITTEN = {"on_their_way": "CAST(:on_their_way AS jsonb)"}
_CHANGE = Write(
    name="changed",
    text=f"""
UPDATE conversation SET {", ".join(f"{name} = {_WRITTEN.get(name, f':{name}')}" for name in _CHANGING)}
WHERE id = CAST(:id AS uuid) AND version = :before RETURNING id""",  # noqa: S608 - fixed texts of ours
    told=("id",),
)
_LOGGED = {
    "conversation_id": "uuid",
    "version": "int",
    "type": "text",
    "actor": "text",
    "ids": "jsonb",
    "at": "timestamptz",
}


# Are there more than so many newer cards in the room of its card?
_OUT_OF_SIGHT = sa.text("""
SELECT count(*) > :cards FROM (
  SELECT 1 FROM conversation AS mine
  JOIN place AS own ON own.conversation_id = mine.id AND own.number = mine.place
  JOIN place AS newer ON newer.room_id = own.room_id AND newer.made_at > own.made_at
  WHERE mine.id = CAST(:which AS uuid) AND NOT own.is_room LIMIT :cards + 1
) AS below""")


class UnknownConversation(LookupError):
    """There is no conversation with this id or number."""


def blocked(why: str, id: ConversationId) -> Blocked:
    """Whoever wants to work on it must lock it first, so that nothing passes by here."""
    return PersonErased(id) if why == "erased" else ProcessingRestricted(id)


def as_conversation(row: Any) -> Conversation:
    return Conversation(
        id=ConversationId(row.id),
        version=row.version,
        number=row.number,
        contact=ContactId(row.contact_id),
        chat=ChatId(row.chat_id),
        language=row.language,
        state=State(row.state),
        opened_at=row.opened_at,
        previous=ConversationId(row.previous_id) if row.previous_id else None,
        group=GroupId(row.group_id) if row.group_id else None,
        owner=AgentId(row.owner_id) if row.owner_id else None,
        place=row.place,
        is_in_room=row.is_in_room,
        pause=_pause(row),
        queued_at=row.queued_at,
        claimed_at=row.claimed_at,
        waiting_since=row.waiting_since,
        answered_at=row.answered_at,
        warned_at=row.warned_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
        unrouted=tuple(map(MessageId, row.unrouted)),
        scheduled=frozenset(map(MessageId, row.scheduled)),
        on_their_way=tuple(_on_its_way(*each) for each in row.on_their_way),
    )


def _on_its_way(message: str, since: str | None) -> OnItsWay:
    return OnItsWay(MessageId(UUID(message)), datetime.fromisoformat(since) if since else None)


def _pause(row: Any) -> Pause | None:
    if row.paused_at is None:
        return None
    return Pause(
        by=AgentId(row.paused_by),
        since=row.paused_at,
        wake_on=frozenset(map(Cause, row.wake_on)),
        until=row.pause_until,
        note=MessageId(row.pause_note) if row.pause_note else None,
    )


def _columns(state: Conversation) -> dict[str, Any]:
    """The values of `_CHANGING`."""
    pause = state.pause
    return {
        "version": state.version,
        "state": state.state.value,
        "language": state.language,
        "group_id": state.group,
        "owner_id": state.owner,
        "claimed_at": state.claimed_at,
        "waiting_since": state.waiting_since,
        "answered_at": state.answered_at,
        "warned_at": state.warned_at,
        "queued_at": state.queued_at,
        "place": state.place,
        "is_in_room": state.is_in_room,
        "paused_by": pause.by if pause else None,
        "paused_at": pause.since if pause else None,
        "pause_until": pause.until if pause else None,
        "wake_on": sorted(cause.value for cause in pause.wake_on) if pause else None,
        "pause_note": pause.note if pause else None,
        "resolved_at": state.resolved_at,
        "resolution": state.resolution,
        "unrouted": list(state.unrouted),
        "scheduled": sorted(state.scheduled, key=str),
        "on_their_way": json.dumps(
            [(str(each.message), each.since.isoformat() if each.since else None) for each in state.on_their_way]
        ),
    }


class SqlConversations:
    def __init__(self, connection: AsyncConnection, keys: DataKeys) -> None:
        self._connection, self._keys = connection, keys

    async def lock(self, id: ConversationId) -> Conversation:
        row = (await self._connection.execute(_LOCK, {"which": id})).first()
        if row is None:
            raise UnknownConversation(str(id))
        fp("conversation_locked")
        if row.blocked is not None:
            raise blocked(row.blocked, id)
        return as_conversation(row)

    async def record(self, before: Conversation | None, events: Sequence[Recorded], after: Conversation) -> None:
        if before is None:
            await self._insert(after)
            await self._connection.execute(event_log.insert(), [_log_row(entry) for entry in events])
        else:
            changes = {"id": after.id, "before": before.version, **_columns(after)}
            await write(self._connection, _CHANGE, changes, hear=_must_be_changed)
            await write(self._connection, _log(len(events)), _log_values(events))

    async def case(self, id: ConversationId) -> Case:
        row = (await self._connection.execute(_CASE, {"which": id})).first()
        if row is None:
            raise UnknownConversation(str(id))
        return await self._case(row)

    async def case_of(self, message: MessageId) -> tuple[Case, StoredMessage]:
        row = (await self._connection.execute(_CASE_OF, {"which": message})).one()
        return await self._case(row), await as_message(row, self._keys)

    async def _case(self, row: Any) -> Case:
        state = as_conversation(row)
        owner = (
            Agent(id=state.owner, address=row.s_address, name=row.s_name, language=row.s_language)
            if state.owner
            else None
        )
        return Case(
            conversation=state,
            group=as_group(row, id=row.g_id, name=row.g_name),
            group_room=row.room_id,
            room=row.card_room or row.room_id,
            card=row.card_event,
            chat=await as_chat(row, self._keys),
            owner=owner,
            tags=await self._opened_tags(state.id, row.enc_tags),
            is_one_of_several=row.is_one_of_several,
            is_room=row.is_own_room,
        )

    async def places(self, id: ConversationId) -> Sequence[PlaceRow]:
        query = sa.select(place).where(place.c.conversation_id == id).order_by(place.c.number)
        return [_place(row) for row in await self._connection.execute(query)]

    async def place_of_room(self, room: str) -> tuple[ConversationId, PlaceRow] | None:
        query = sa.select(place).where(place.c.room_id == room, place.c.is_room)
        row = (await self._connection.execute(query)).first()
        return (ConversationId(row.conversation_id), _place(row)) if row else None

    async def is_out_of_sight(self, id: ConversationId, *, cards: int) -> bool:
        return bool(await self._connection.scalar(_OUT_OF_SIGHT, {"which": id, "cards": cards}))

    async def is_in_former_room(self, id: ConversationId) -> bool:
        former = sa.exists().where(
            conversation.c.id == id,
            room_succession.c.room_id == conversation.c.card_room,
            room_succession.c.group_id.is_not(None),
        )
        return bool(await self._connection.scalar(sa.select(former)))

    async def last_activity(self, id: ConversationId) -> datetime | None:
        """By our own clock: when the newest event was logged."""
        query = sa.select(sa.func.max(event_log.c.at)).where(event_log.c.conversation_id == id)
        last: datetime | None = await self._connection.scalar(query)
        return last

    async def open_in(self, chat_id: ChatId) -> Sequence[ConversationId]:
        query = sa.select(conversation.c.id).where(
            conversation.c.chat_id == chat_id, conversation.c.state != State.RESOLVED
        )
        last_answered = (conversation.c.answered_at.desc().nulls_last(), conversation.c.opened_at.desc())
        return [ConversationId(id) for id in await self._connection.scalars(query.order_by(*last_answered))]

    async def number_of(self, id: ConversationId) -> str:
        number: str = (
            await self._connection.scalars(sa.select(conversation.c.number).where(conversation.c.id == id))
        ).one()
        return number

    async def of_number(self, number: str) -> ConversationId | None:
        query = sa.select(conversation.c.id).where(conversation.c.number == number.upper())
        id = await self._connection.scalar(query)
        return ConversationId(id) if id else None

    async def is_number_taken(self, number: str) -> bool:
        query = sa.select(sa.literal(1)).where(conversation.c.number == number)
        return (await self._connection.execute(query)).first() is not None

    async def history(self, id: ConversationId) -> Sequence[Recorded]:
        query = sa.select(event_log).where(event_log.c.conversation_id == id).order_by(event_log.c.version)
        return [_recorded(row) for row in await self._connection.execute(query)]

    async def is_erased(self, id: ConversationId) -> bool:
        return await self._keys.is_erased(conversation_scope(id))

    async def tags(self, id: ConversationId) -> tuple[str, ...]:
        sealed = await self._connection.scalar(sa.select(conversation.c.enc_tags).where(conversation.c.id == id))
        return await self._opened_tags(id, sealed)

    async def set_tags(self, id: ConversationId, tags: Sequence[str]) -> None:
        key = await key_of_conversation(self._connection, self._keys, id)
        sealed = key.seal(json.dumps(list(tags)).encode(), where=_tags_place(id)) if tags else None
        await self._connection.execute(conversation.update().where(conversation.c.id == id).values(enc_tags=sealed))

    async def _opened_tags(self, id: ConversationId, sealed: bytes | None) -> tuple[str, ...]:
        if not sealed:
            return ()
        try:
            return tuple(json.loads(await self._keys.open(sealed, where=_tags_place(id))))
        except KeyDestroyed:
            return ()

    async def _insert(self, state: Conversation) -> None:
        await self._connection.execute(
            conversation.insert().values(
                id=state.id,
                number=state.number,
                contact_id=state.contact,
                chat_id=state.chat,
                opened_at=state.opened_at,
                previous_id=state.previous,
                **(_columns(state) | {"on_their_way": []}),  # nothing begins with an answer
            )
        )
        await ChatRows(self._connection, self._keys).set_conversation(
            state.chat, state.id, only_if_none=state.waiting_since is None
        )


def _tags_place(id: ConversationId) -> str:
    return f"conversation|enc_tags|{id}"


def _place(row: Any) -> PlaceRow:
    return PlaceRow(
        number=row.number, group=GroupId(row.group_id), room=row.room_id, card=row.card, is_room=row.is_room
    )


def _log_row(entry: Recorded) -> dict[str, Any]:
    return {
        "conversation_id": entry.conversation,
        "version": entry.version,
        "type": type(entry.event).__name__,
        "actor": entry.actor,
        "ids": event_ids(entry.event),
        "at": entry.at,
    }


@cache
def _log(count: int) -> Write:
    """So many rows, numbered in their order. Each value is a parameter: with arrays PostgreSQL would plan anew each
    time."""
    rows = [
        "(" + ", ".join(f"CAST(:{name}_{n} AS {type})" for name, type in _LOGGED.items()) + ")" for n in range(count)
    ]
    return Write(name="logged", text=f"INSERT INTO event_log ({', '.join(_LOGGED)}) VALUES {', '.join(rows)}")  # noqa: S608 - fixed texts of ours


def _log_values(events: Sequence[Recorded]) -> dict[str, Any]:
    rows = [row | {"ids": json.dumps(row["ids"])} for row in map(_log_row, events)]
    return {f"{name}_{n}": row[name] for n, row in enumerate(rows) for name in _LOGGED}


def _must_be_changed(told: Mapping[str, Any]) -> None:
    assert told["id"] is not None, "the conversation was locked, so its version cannot have moved"


def _recorded(row: Any) -> Recorded:
    return Recorded(
        conversation=ConversationId(UUID(str(row.conversation_id))),
        version=row.version,
        event=load_event(row.type, row.ids),
        at=row.at,
        actor=row.actor,
    )
