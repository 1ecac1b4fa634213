"""Where the words of a person, or of one conversation, lie outside of this database: written down before the keys that
tell of it are destroyed."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.erasure_ports import Erasure, Place, Target, TargetKind
from messenger.app.records import StoredMessage
from messenger.storage.codec import UNREADABLE
from messenger.storage.data_keys import DataKeys
from messenger.storage.messages import MESSAGE_COLUMNS, as_message
from messenger.storage.models.conversations import (
    channel_identity,
    chat,
    conversation,
    message,
    place,
    remote_message,
)
from messenger.storage.models.rooms import room_succession
from messenger.storage.new_ids import ERASED

log = logging.getLogger(__name__)

# Conversations in whose chats the person is, or was, somebody else than the customer.
_SPEAKS_IN = sa.text("""
SELECT DISTINCT conversation.id FROM channel_identity AS person
JOIN mx_member ON mx_member.user_id = person.value
LEFT JOIN room_succession AS former ON former.room_id = mx_member.room_id
JOIN chat ON chat.remote = mx_member.room_id OR chat.id = former.chat_id
JOIN conversation ON conversation.chat_id = chat.id
WHERE person.contact_id = :contact AND person.kind = 'mxid' AND chat.contact_id <> :contact""")

# Cards that were tried and never noted: a process died behind the homeserver's answer, or before it.
_TRIED_CARDS = sa.text("""
SELECT outbox.txn, stood.room_id FROM outbox
JOIN conversation ON conversation.id = outbox.conversation_id
JOIN LATERAL (
  SELECT room_id FROM skill_group WHERE id = conversation.group_id
  UNION SELECT room_id FROM place WHERE conversation_id = conversation.id AND NOT is_room
) AS stood ON stood.room_id IS NOT NULL
WHERE conversation.id = ANY(:ids) AND outbox.kind = 'PostCard' AND outbox.attempts > 0 AND outbox.state <> 'sent'""")


async def planned(connection: AsyncConnection, keys: DataKeys, which: Erasure) -> Sequence[Target]:
    if which.conversation is None and which.contact is None:
        return []
    ids = await conversations_of(connection, which)
    media = [target async for target in _media(connection, keys, ids)]
    if which.scope == "files":
        return [*media, *await _events_with_files(connection, keys, ids)]
    places = [*await _places(connection, ids), *await _tried_cards(connection, ids)]
    if which.contact is None:
        return [*places, *await _events(connection, ids), *media]
    events = await _events(connection, ids, is_whole=True)
    copies = await _copies_elsewhere(connection, keys, which.contact, ids)
    return [*places, *await _chats(connection, which.contact), *events, *copies, *media]


async def conversations_of(connection: AsyncConnection, which: Erasure) -> Sequence[UUID]:
    if which.conversation is not None:
        return [which.conversation]
    return list(
        await connection.scalars(sa.select(conversation.c.id).where(conversation.c.contact_id == which.contact))
    )


async def _places(connection: AsyncConnection, ids: Sequence[UUID]) -> list[Target]:
    rows = await connection.execute(sa.select(place).where(place.c.conversation_id.in_(ids)))
    return [
        Target(kind="room", place="case_room", room=row.room_id)
        if row.is_room
        else Target(kind="thread", place="group_room", room=row.room_id, subject=row.card)
        for row in rows
        if row.is_room or row.card
    ]


async def _tried_cards(connection: AsyncConnection, ids: Sequence[UUID]) -> list[Target]:
    """In a room of many nothing else leads to them but the id under which they went."""
    rows = await connection.execute(_TRIED_CARDS, {"ids": list(ids)})
    return [Target(kind="thread", place="group_room", room=row.room_id, subject=row.txn) for row in rows]


async def _chats(connection: AsyncConnection, contact: UUID) -> list[Target]:
    now = sa.select(chat.c.remote).where(chat.c.contact_id == contact)
    former = sa.select(room_succession.c.room_id).join(chat).where(chat.c.contact_id == contact)
    rooms = await connection.scalars(now.union(former))
    people = await connection.scalars(
        sa.select(channel_identity.c.value).where(
            channel_identity.c.contact_id == contact, channel_identity.c.kind == "mxid"
        )
    )
    real = [room for room in rooms if room.startswith("!")]
    return [
        *(Target(kind="room", place="customer_room", room=room) for room in real),
        *(Target(kind="leave", place="customer_room", room=room) for room in real),
        *(Target(kind="person", place="customer_room", subject=person) for person in people if person != ERASED),
    ]


async def _events(
    connection: AsyncConnection, ids: Sequence[UUID], *, of: Sequence[UUID] | None = None, is_whole: bool = False
) -> list[Target]:
    """What we have noted. Where a room is not looked through as a whole, each message is, for its edits and files."""
    query = sa.select(remote_message.c.room, remote_message.c.remote_id, _place_of_room()).where(
        remote_message.c.conversation_id.in_(ids)
    )
    if of is not None:
        query = query.where(remote_message.c.message_id.in_(of))
    return [
        Target(kind=_kind(is_whole=is_whole), place=row.place, room=row.room, subject=row.remote_id)
        for row in await connection.execute(query)
    ]


async def _copies_elsewhere(
    connection: AsyncConnection, keys: DataKeys, contact: UUID, own: Sequence[UUID]
) -> list[Target]:
    """What the person said in somebody else's chat, as the team has it in front of them. What stands in that chat
    itself is theirs who share it."""
    ids = [id for id in await connection.scalars(_SPEAKS_IN, {"contact": contact}) if id not in own]
    said = [row.id async for row in _opened(connection, keys, ids) if row.speaker_contact == contact]
    copies = await _events(connection, ids, of=said) if said else []
    return [each for each in copies if each.place != "customer_room"]


def _kind(*, is_whole: bool) -> TargetKind:
    return "event" if is_whole else "message"


def _place_of_room() -> sa.ColumnElement[Place]:
    is_former = sa.exists().where(
        room_succession.c.room_id == remote_message.c.room, room_succession.c.chat_id.is_not(None)
    )
    is_chat = sa.or_(sa.exists().where(chat.c.remote == remote_message.c.room), is_former)
    is_case = sa.exists().where(place.c.room_id == remote_message.c.room, place.c.is_room)
    return sa.case((is_chat, "customer_room"), (is_case, "case_room"), else_="group_room").label("place")


async def _events_with_files(connection: AsyncConnection, keys: DataKeys, ids: Sequence[UUID]) -> list[Target]:
    with_files = [id async for id, _ in _files(connection, keys, ids)]
    return await _events(connection, ids, of=with_files) if with_files else []


async def _media(connection: AsyncConnection, keys: DataKeys, ids: Sequence[UUID]) -> AsyncIterator[Target]:
    async for _, addresses in _files(connection, keys, ids):
        for address in addresses:
            yield Target(kind="media", place="customer_room", subject=address)


async def _files(
    connection: AsyncConnection, keys: DataKeys, ids: Sequence[UUID]
) -> AsyncIterator[tuple[UUID, Sequence[str]]]:
    """Messages with files, and the addresses of these. A body that does not open any more names none."""
    async for found in _opened(connection, keys, ids):
        if found.content.media:
            yield found.id, [address for ref in found.content.media if (address := mxc_of(ref.id))]


async def _opened(connection: AsyncConnection, keys: DataKeys, ids: Sequence[UUID]) -> AsyncIterator[StoredMessage]:
    rows = (await connection.execute(sa.select(*MESSAGE_COLUMNS).where(message.c.conversation_id.in_(ids)))).all()
    for row in rows:
        try:
            yield await as_message(row, keys)
        except UNREADABLE as error:
            log.info("a body does not open", extra={"row_id": str(row.m_id), "error": type(error).__name__})


def mxc_of(ref: str) -> str:
    """The address in a stored `EncryptedFile`; empty for anything else."""
    try:
        found = json.loads(ref)
    except (ValueError, RecursionError):
        return ""
    address = found.get("url") if isinstance(found, dict) else None
    is_one = isinstance(address, str) and address.startswith("mxc://") and address.isprintable()
    return str(address) if is_one else ""
