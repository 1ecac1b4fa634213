"""Messages with sealed bodies, and the map of all ids by which the sides name them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import StoredBody, StoredMessage, Trace
from messenger.channels.messages import Content
from messenger.domain.ids import AgentId, ConversationId, MessageId
from messenger.domain.replies import Fate
from messenger.storage.codec import dump, load_body
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import fetch
from messenger.storage.encryption import Key, KeyDestroyed
from messenger.storage.models.conversations import conversation as cases
from messenger.storage.models.conversations import message, remote_message, told
from messenger.storage.statements import Statement
from messenger.storage.together import Write, write

ERASED_SPEAKER = "?"
_UNVERIFIED, _LATE, _DELETED = 1, 2, 8
_ADD_TRACE = insert(remote_message).on_conflict_do_nothing()
_ADD_MESSAGE = Write(
    name="added",
    text="""
INSERT INTO message (id, conversation_id, author_id, type, fate, flags, at, edited_at, enc_body)
VALUES (:id, :conversation, :author, :type, :fate, :flags, :at, :edited_at, :enc_body)
ON CONFLICT DO NOTHING""",
)
_TRACE_IT = Write(
    name="traced",
    text="""
INSERT INTO remote_message (account, remote_id, part, kind, room, conversation_id, message_id)
VALUES (:account, :remote_id, :part, :kind, :room, :conversation_id, :message_id)
ON CONFLICT DO NOTHING""",
)
_IS_FIRST_UNANSWERED = sa.text("""
SELECT NOT EXISTS (
  SELECT FROM message AS earlier
  WHERE earlier.conversation_id = asked.conversation_id AND earlier.author_id IS NULL AND earlier.seq < asked.seq
    AND earlier.seq > coalesce((
      SELECT max(seq) FROM message AS answer
      WHERE answer.conversation_id = asked.conversation_id AND answer.author_id IS NOT NULL
        AND answer.fate IN ('queued', 'sent', 'delivered', 'read') AND answer.seq < asked.seq
    ), 0)
) FROM message AS asked WHERE asked.id = CAST(:which AS uuid)""")
MESSAGE_COLUMNS = tuple(column.label(f"m_{column.name}") for column in message.columns)
_MESSAGES = sa.select(*MESSAGE_COLUMNS)
_GET = Statement(_MESSAGES.where(message.c.id == sa.bindparam("which")))


# A customer's message that is not in the thread yet will come there by itself.
_SHOWN = _MESSAGES.where(
    message.c.flags.op("&")(_DELETED) == 0,
    sa.or_(
        message.c.author_id.is_not(None),
        sa.exists().where(remote_message.c.message_id == message.c.id, remote_message.c.kind == "copy"),
    ),
)


def body_place(conversation: ConversationId, id: MessageId) -> str:
    return f"message|enc_body|{conversation}|{id}"


def speaker_place(id: MessageId) -> str:
    return f"message|speaker|{id}"


async def _opened_speaker(body: StoredBody, id: MessageId, keys: DataKeys) -> str:
    """Whose name is gone is nobody's, and never the customer's."""
    if not body.sealed_speaker:
        return body.speaker
    try:
        return (await keys.open(bytes.fromhex(body.sealed_speaker), where=speaker_place(id))).decode()
    except KeyDestroyed:
        return ERASED_SPEAKER


async def as_message(row: Any, keys: DataKeys) -> StoredMessage:
    """With an empty body where its person was erased."""
    try:
        body = load_body(await keys.open(row.m_enc_body, where=body_place(row.m_conversation_id, row.m_id)))
    except KeyDestroyed:
        body = None
    return StoredMessage(
        id=MessageId(row.m_id),
        conversation=ConversationId(row.m_conversation_id),
        author=AgentId(row.m_author_id) if row.m_author_id else None,
        fate=Fate(row.m_fate) if row.m_fate else None,
        content=body.content if body else Content(),
        speaker=await _opened_speaker(body, MessageId(row.m_id), keys) if body else "",
        speaker_contact=body.speaker_contact if body else None,
        sealed_speaker=body.sealed_speaker if body else "",
        at=row.m_at,
        type=row.m_type,
        is_unverified=bool(row.m_flags & _UNVERIFIED),
        is_late=bool(row.m_flags & _LATE),
        edited_at=row.m_edited_at,
        is_deleted=bool(row.m_flags & _DELETED),
        is_erased=body is None,
        reply_to=body.reply_to if body else None,
    )


async def key_of_conversation(connection: AsyncConnection, keys: DataKeys, id: ConversationId) -> Key:
    """The conversation may be of this very transaction, which nobody else can see yet. Raises KeyDestroyed."""

    async def customer() -> UUID:
        return (await connection.scalars(sa.select(cases.c.contact_id).where(cases.c.id == id))).one()

    return await keys.of_conversation(id, customer)


async def without_files(connection: AsyncConnection, stored: StoredMessage, keys: DataKeys) -> bytes:
    """Its body sealed anew, without what names and opens the files. Raises KeyDestroyed."""
    body = await _body(replace(stored, content=replace(stored.content, media=())), keys)
    key = await key_of_conversation(connection, keys, stored.conversation)
    return key.seal(dump(body), where=body_place(stored.conversation, stored.id))


async def _body(new: StoredMessage, keys: DataKeys) -> StoredBody:
    """Erasing the customer takes the words and the mention of who else spoke; erasing that person takes their name."""
    body = StoredBody(content=new.content, reply_to=new.reply_to)
    if new.speaker_contact is None:
        return replace(body, speaker=new.speaker)
    sealed = new.sealed_speaker
    if not sealed:
        key = await keys.of_contact(new.speaker_contact)
        sealed = key.seal(new.speaker.encode(), where=speaker_place(new.id)).hex()
    return replace(body, speaker_contact=new.speaker_contact, sealed_speaker=sealed)


def _flags(new: StoredMessage) -> int:
    return _UNVERIFIED * new.is_unverified + _LATE * new.is_late + _DELETED * new.is_deleted


def trace_row(trace: Trace) -> dict[str, Any]:
    return {
        "account": trace.account,
        "remote_id": trace.remote_id,
        "part": trace.part,
        "kind": trace.kind,
        "room": trace.room,
        "conversation_id": trace.conversation,
        "message_id": trace.message,
    }


def _trace(row: Any) -> Trace:
    return Trace(
        account=row.account,
        room=row.room,
        remote_id=row.remote_id,
        kind=row.kind,
        conversation=ConversationId(row.conversation_id) if row.conversation_id else None,
        message=MessageId(row.message_id) if row.message_id else None,
        part=row.part,
    )


async def remove_traces(connection: AsyncConnection, traces: Sequence[Trace]) -> None:
    for trace in traces:
        await connection.execute(
            remote_message.delete().where(
                remote_message.c.account == trace.account, remote_message.c.remote_id == trace.remote_id
            )
        )


class SqlMessages:
    def __init__(self, connection: AsyncConnection, keys: DataKeys) -> None:
        self._connection, self._keys = connection, keys

    async def add(self, new: StoredMessage, trace: Trace) -> None:
        key = await key_of_conversation(self._connection, self._keys, new.conversation)
        await write(
            self._connection,
            _ADD_MESSAGE,
            {
                "id": new.id,
                "conversation": new.conversation,
                "author": new.author,
                "type": new.type,
                "fate": new.fate.value if new.fate else None,
                "flags": _flags(new),
                "at": new.at,
                "edited_at": new.edited_at,
                "enc_body": key.seal(dump(await _body(new, self._keys)), where=body_place(new.conversation, new.id)),
            },
        )
        await write(self._connection, _TRACE_IT, trace_row(trace))

    async def get(self, id: MessageId) -> StoredMessage:
        (row,) = await fetch(self._connection, _GET, {"which": id})
        return await as_message(row, self._keys)

    async def latest(self, conversation: ConversationId, most: int) -> Sequence[StoredMessage]:
        query = _SHOWN.where(message.c.conversation_id == conversation).order_by(message.c.seq.desc()).limit(most)
        rows = (await self._connection.execute(query)).all()
        return [await as_message(row, self._keys) for row in reversed(rows)]

    async def with_files(self, conversation: ConversationId) -> Sequence[StoredMessage]:
        """By their type, which is not sealed; a customer's file is known by its body only."""
        query = _SHOWN.where(message.c.conversation_id == conversation).order_by(message.c.seq)
        found = [await as_message(row, self._keys) for row in (await self._connection.execute(query)).all()]
        return [each for each in found if each.content.media]

    async def is_first_unanswered(self, id: MessageId) -> bool:
        return bool(await self._connection.scalar(_IS_FIRST_UNANSWERED, {"which": id}))

    async def first_text(self, conversation: ConversationId) -> str:
        """The customer's first words that are not taken back, for the card."""
        said = _MESSAGES.where(message.c.conversation_id == conversation, message.c.author_id.is_(None))
        query = said.where(message.c.flags.op("&")(_DELETED) == 0)
        row = (await self._connection.execute(query.order_by(message.c.seq).limit(1))).first()
        return (await as_message(row, self._keys)).content.text if row else ""

    async def last_waiting(self, conversation: ConversationId, author: AgentId) -> StoredMessage | None:
        scheduled = sa.select(sa.func.unnest(cases.c.scheduled)).where(cases.c.id == conversation)
        query = (
            _MESSAGES.where(
                message.c.conversation_id == conversation,
                message.c.author_id == author,
                sa.or_(message.c.fate == Fate.HELD.value, message.c.id.in_(scheduled)),
            )
            .order_by(message.c.seq.desc())
            .limit(1)
        )
        row = (await self._connection.execute(query)).first()
        return await as_message(row, self._keys) if row else None

    async def has_held(self, conversation: ConversationId) -> bool:
        is_held = (message.c.conversation_id == conversation) & (message.c.fate == Fate.HELD.value)
        return bool(await self._connection.scalar(sa.select(sa.exists().where(is_held))))

    async def last_of(self, conversation: ConversationId, author: AgentId) -> StoredMessage | None:
        query = _MESSAGES.where(message.c.conversation_id == conversation, message.c.author_id == author)
        row = (await self._connection.execute(query.order_by(message.c.seq.desc()).limit(1))).first()
        return await as_message(row, self._keys) if row else None

    async def set_fate(self, id: MessageId, fate: Fate) -> None:
        await self._connection.execute(message.update().where(message.c.id == id).values(fate=fate.value))

    async def replace_content(self, changed: StoredMessage) -> None:
        key = await key_of_conversation(self._connection, self._keys, changed.conversation)
        sealed = key.seal(dump(await _body(changed, self._keys)), where=body_place(changed.conversation, changed.id))
        again = message.update().where(message.c.id == changed.id)
        await self._connection.execute(
            again.values(enc_body=sealed, edited_at=changed.edited_at, type=changed.type, flags=_flags(changed))
        )

    async def mark_deleted(self, id: MessageId, *, at: datetime) -> None:
        gone = message.update().where(message.c.id == id)
        await self._connection.execute(gone.values(flags=message.c.flags.op("|")(_DELETED), edited_at=at))

    async def add_trace(self, trace: Trace) -> None:
        await self._connection.execute(_ADD_TRACE, trace_row(trace))

    async def find_trace(self, account: str, remote_id: str) -> Trace | None:
        query = sa.select(remote_message).where(
            remote_message.c.account == account, remote_message.c.remote_id == remote_id
        )
        row = (await self._connection.execute(query)).first()
        return _trace(row) if row else None

    async def traces_of(self, id: MessageId) -> Sequence[Trace]:
        rows = await self._connection.execute(sa.select(remote_message).where(remote_message.c.message_id == id))
        return [_trace(row) for row in rows]

    async def copies_of(self, id: MessageId) -> Sequence[Trace]:
        query = sa.select(remote_message).where(remote_message.c.message_id == id, remote_message.c.kind == "copy")
        rows = await self._connection.execute(query.order_by(remote_message.c.room, remote_message.c.part))
        return [_trace(row) for row in rows]

    async def is_told(self, conversation: ConversationId, agent: AgentId, text: str) -> bool:
        new = insert(told).values(conversation_id=conversation, staff_id=agent, text=text).on_conflict_do_nothing()
        return (await self._connection.execute(new)).rowcount == 0
