"""What is removed of a person, and what is left: conversations with their numbers and their log of ids and codes, so
that reports stay true, on an empty contact.

`storage/personal_data.py` says the same for each column; a test compares."""

import json
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.domain.conversation import State, evolve
from messenger.domain.events import ConversationResolved, Recorded
from messenger.domain.ids import ConversationId
from messenger.observability.time import utc_now
from messenger.storage.codec import UNREADABLE
from messenger.storage.conversation_rows import as_conversation
from messenger.storage.conversations import SqlConversations
from messenger.storage.data_keys import DataKeys
from messenger.storage.desk_store import letter_place
from messenger.storage.messages import MESSAGE_COLUMNS, as_message, without_files
from messenger.storage.models.conversations import (
    channel_identity,
    chat,
    contact,
    conversation,
    message,
)
from messenger.storage.models.queues import dead_letter, megolm_seen
from messenger.storage.models.rooms import mx_member, mx_room, room_succession
from messenger.storage.models.trust import trust_alert, verification
from messenger.storage.new_ids import ERASED

REASON = "erased"

_LOCK = sa.text("SELECT id FROM conversation WHERE contact_id = :contact ORDER BY id FOR UPDATE")
_BLOCK = sa.text("UPDATE conversation SET blocked = 'erased' WHERE contact_id = :contact")
_OF_PERSON = """(conversation_id IN (SELECT id FROM conversation WHERE contact_id = :contact)
  OR lane IN (SELECT 'chat:' || id FROM chat WHERE contact_id = :contact))"""
_CANCEL = sa.text(f"UPDATE outbox SET state = 'cancelled', next_at = now() WHERE state = 'new' AND {_OF_PERSON}")  # noqa: S608
_IS_SENDING = sa.text(f"""
SELECT true FROM outbox WHERE state = 'claimed' AND claimed_until > now() AND {_OF_PERSON} LIMIT 1""")  # noqa: S608

# The lanes of `matrix/convert` (rooms, threads, and messages that are edited or reacted to), of timers and of rooms.
_QUEUES = """
WITH mine AS (SELECT unnest(CAST(:conversations AS uuid[])) AS id),
said AS (SELECT room, remote_id FROM remote_message WHERE conversation_id IN (SELECT id FROM mine)),
lanes AS (
  SELECT unnest(CAST(:rooms AS text[])) AS lane
  UNION SELECT room || '|' || remote_id FROM said
  UNION SELECT room_id || '|' || card FROM place WHERE conversation_id IN (SELECT id FROM mine) AND NOT is_room
  UNION SELECT room_id || '|main' FROM place WHERE conversation_id IN (SELECT id FROM mine) AND is_room
  UNION SELECT 'timer:' || id FROM mine
  UNION SELECT 'left out:' || room FROM unnest(CAST(:rooms AS text[])) AS room
  UNION SELECT 'join:' || room FROM unnest(CAST(:rooms AS text[])) AS room
),
rows_in AS (
  SELECT id, source_id FROM inbox
  WHERE lane IN (SELECT lane FROM lanes) OR source_id IN (SELECT remote_id FROM said)
    OR room_id = ANY(CAST(:rooms AS text[]))
    OR split_part(source_id, '|', 2) = ANY(CAST(:rooms AS text[])) AND source_id LIKE 'invite|%'
)"""
INBOX_OF_PERSON = sa.text(f"{_QUEUES} SELECT id FROM rows_in")  # noqa: S608 - `conversations`, `rooms`: theirs
_REMOVE_QUEUES = sa.text(f"""{_QUEUES},
timers AS (
  DELETE FROM timer WHERE conversation_id IN (SELECT id FROM mine) OR subject IN (SELECT source_id FROM rows_in)
),
letters AS (DELETE FROM dead_letter WHERE queue = 'inbox' AND row_id IN (SELECT id FROM rows_in)),
out AS (
  DELETE FROM outbox WHERE conversation_id IN (SELECT id FROM mine)
    OR lane IN (SELECT lane FROM lanes) OR lane = ANY(CAST(:chats AS text[]))
    OR lane IN (SELECT 'event:' || source_id FROM rows_in)
  RETURNING id
),
letters_out AS (DELETE FROM dead_letter WHERE queue = 'outbox' AND row_id IN (SELECT id FROM out))
DELETE FROM inbox WHERE id IN (SELECT id FROM rows_in)""")  # noqa: S608 - fixed texts of ours
_REMOVE_WORDS = (
    "DELETE FROM reaction WHERE message_id IN (SELECT id FROM message WHERE conversation_id = ANY(:conversations))",
    "DELETE FROM told WHERE conversation_id = ANY(:conversations)",
    "DELETE FROM message WHERE conversation_id = ANY(:conversations)",
    # The card stays known, so that who writes in its thread is told why nothing happens.
    "DELETE FROM remote_message WHERE conversation_id = ANY(:conversations) AND kind <> 'card'",
    "DELETE FROM routing_decision WHERE conversation_id = ANY(:conversations)",
    "DELETE FROM case_member WHERE conversation_id = ANY(:conversations)",
    "UPDATE conversation SET enc_tags = NULL WHERE id = ANY(:conversations)",
)


async def block(connection: AsyncConnection, person: UUID) -> bool:
    """From the commit on nobody works on it: who was just doing so has ended, for they held the same locks. True while
    something that was claimed before is still on its way."""
    values = {"contact": person}
    await connection.execute(_LOCK, values)
    await connection.execute(_BLOCK, values)
    restricted = contact.update().where(contact.c.id == person)
    await connection.execute(
        restricted.values(
            restricted_at=sa.func.coalesce(contact.c.restricted_at, sa.func.now()), restricted_reason=REASON
        )
    )
    await connection.execute(_CANCEL, values)
    return bool(await connection.scalar(_IS_SENDING, values))


async def remove_person(connection: AsyncConnection, keys: DataKeys, person: UUID) -> None:
    await connection.execute(_LOCK, {"contact": person})
    ids = list(await connection.scalars(sa.select(conversation.c.id).where(conversation.c.contact_id == person)))
    chats = (await connection.execute(sa.select(chat.c.id, chat.c.remote).where(chat.c.contact_id == person))).all()
    people = await connection.scalars(
        sa.select(channel_identity.c.value).where(channel_identity.c.contact_id == person)
    )
    former = await connection.scalars(
        sa.select(room_succession.c.room_id).where(room_succession.c.chat_id.in_([row.id for row in chats]))
    )
    rooms = [*(row.remote for row in chats), *former]
    await _remove_queues(connection, ids, rooms=rooms, chats=[f"chat:{r.id}" for r in chats])
    await _remove_raw_letters(connection, keys, set(people))
    await _remove_words(connection, ids)
    for id in ids:
        await _resolve(connection, keys, id)
    await _empty_contact(connection, person)


async def remove_conversation(connection: AsyncConnection, keys: DataKeys, id: UUID, scope: str) -> None:
    """Its time is over. The person stays, and who comes back begins a new one."""
    await connection.execute(sa.select(conversation.c.id).where(conversation.c.id == id).with_for_update())
    if scope == "files":
        return await _remove_files(connection, keys, id)
    await _remove_queues(connection, [id], rooms=[], chats=[])
    await _remove_words(connection, [id])
    later = chat.update().where(chat.c.conversation_id == id)
    await connection.execute(later.values(conversation_id=None))
    return None


async def sweep(connection: AsyncConnection, rooms: Sequence[str], people: Sequence[str]) -> None:
    """What the last sync batches have brought before we left."""
    await _remove_queues(connection, [], rooms=list(rooms), chats=[])
    for table in (mx_member, mx_room, megolm_seen, trust_alert, verification, room_succession):
        await connection.execute(table.delete().where(table.c.room_id.in_(rooms)))
    for table in (mx_member, trust_alert, verification):
        await connection.execute(table.delete().where(table.c.user_id.in_(people)))


async def _remove_queues(
    connection: AsyncConnection, ids: Sequence[UUID], *, rooms: Sequence[str], chats: Sequence[str]
) -> None:
    values = {"conversations": list(ids), "rooms": list(rooms), "chats": list(chats)}
    await connection.execute(_REMOVE_QUEUES, values)


async def _remove_words(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    for statement in _REMOVE_WORDS:
        ready = sa.text(statement.replace(":conversations", "CAST(:conversations AS uuid[])"))
        await connection.execute(ready, {"conversations": list(ids)})


async def _remove_raw_letters(connection: AsyncConnection, keys: DataKeys, people: set[str]) -> None:
    gone = [row.id for row in await raw_letters_of(connection, keys, people)]
    await connection.execute(dead_letter.delete().where(dead_letter.c.id.in_(gone)))


async def raw_letters_of(connection: AsyncConnection, keys: DataKeys, people: Collection[str]) -> Sequence[Any]:
    """Events that nobody could understand were put aside whole. They name their sender inside only."""
    raw = sa.select(dead_letter).where(dead_letter.c.queue.startswith("sync:"), dead_letter.c.enc_raw.is_not(None))
    rows = (await connection.execute(raw.order_by(dead_letter.c.id))).all()
    return [row for row in rows if await _sender(keys, row) in people]


async def _sender(keys: DataKeys, row: Any) -> str | None:
    try:
        where = letter_place(row.queue.removeprefix("sync:"), row.source_id or "")
        event = json.loads(await keys.open(row.enc_raw, where=where))
    except UNREADABLE:
        return None
    return str(event.get("sender"))


async def _resolve(connection: AsyncConnection, keys: DataKeys, id: UUID) -> None:
    """In the log as in the state, as for every other end."""
    row = (await connection.execute(sa.select(conversation).where(conversation.c.id == id))).one()
    before = as_conversation(row)
    if before.state is State.RESOLVED:
        return
    entry = Recorded(
        conversation=ConversationId(id),
        version=before.version + 1,
        event=ConversationResolved(reason=REASON),
        at=utc_now(),
        actor="system",
    )
    await SqlConversations(connection, keys).record(before, [entry], evolve(before, entry))


async def _empty_contact(connection: AsyncConnection, person: UUID) -> None:
    await connection.execute(
        channel_identity.update()
        .where(channel_identity.c.contact_id == person)
        .values(kind=ERASED, scope="", value=sa.cast(channel_identity.c.id, sa.Text))
    )
    await connection.execute(
        chat.update()
        .where(chat.c.contact_id == person)
        .values(remote=sa.literal(f"{ERASED}:") + sa.cast(chat.c.id, sa.Text), conversation_id=None)
    )
    nothing: dict[str, Any] = dict.fromkeys(
        ("enc_name", "consent_at", "consent_source", "restricted_at", "restricted_reason", "held_at", "held_reason")
    )
    gone = contact.update().where(contact.c.id == person)
    await connection.execute(gone.values(**nothing, erased_at=sa.func.coalesce(contact.c.erased_at, sa.func.now())))


async def _remove_files(connection: AsyncConnection, keys: DataKeys, id: UUID) -> None:
    """The words stay; what names and opens a file goes."""
    rows = (await connection.execute(sa.select(*MESSAGE_COLUMNS).where(message.c.conversation_id == id))).all()
    for row in rows:
        try:
            stored = await as_message(row, keys)
        except UNREADABLE:
            continue
        if stored.content.media:
            sealed = await without_files(connection, stored, keys)
            await connection.execute(message.update().where(message.c.id == stored.id).values(enc_body=sealed))
