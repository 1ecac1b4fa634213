"""What waits in the queues about a person: not handled, not sent yet, put aside. The erasure removes the same rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.export.document import Waiting
from messenger.storage.data_keys import DataKeys
from messenger.storage.erased_rows import INBOX_OF_PERSON, raw_letters_of
from messenger.storage.models.conversations import chat
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.models.rooms import room_succession

_NOT_SENT = ("new", "claimed", "unknown", "dead")


async def waiting_of(
    connection: AsyncConnection,
    keys: DataKeys,
    person: UUID,
    *,
    conversations: Sequence[UUID],
    addresses: Sequence[str],
) -> list[Waiting]:
    """What was handled keeps its id only, and is not listed."""
    chats = (await connection.execute(sa.select(chat.c.id, chat.c.remote).where(chat.c.contact_id == person))).all()
    former = await connection.scalars(
        sa.select(room_succession.c.room_id).where(room_succession.c.chat_id.in_([row.id for row in chats]))
    )
    values = {"conversations": list(conversations), "rooms": [*(row.remote for row in chats), *former]}
    came = list(await connection.scalars(INBOX_OF_PERSON, values))
    return [
        *await _inbox(connection, came),
        *await _outbox(connection, conversations, [f"chat:{row.id}" for row in chats]),
        *await _put_aside(connection, came),
        *(_letter(row) for row in await raw_letters_of(connection, keys, set(addresses))),
    ]


async def _inbox(connection: AsyncConnection, ids: Sequence[int]) -> list[Waiting]:
    query = sa.select(inbox).where(inbox.c.id.in_(ids), inbox.c.state != "done").order_by(inbox.c.id)
    return [
        Waiting(queue="inbox", kind=row.kind, at=row.received_at, state=row.state)
        for row in await connection.execute(query)
    ]


async def _outbox(connection: AsyncConnection, conversations: Sequence[UUID], chats: Sequence[str]) -> list[Waiting]:
    mine = sa.or_(outbox.c.conversation_id.in_(conversations), outbox.c.lane.in_(chats))
    query = sa.select(outbox).where(mine, outbox.c.state.in_(_NOT_SENT)).order_by(outbox.c.id)
    return [
        Waiting(queue="outbox", kind=row.kind, at=row.made_at, state=row.state)
        for row in await connection.execute(query)
    ]


async def _put_aside(connection: AsyncConnection, came: Sequence[int]) -> list[Waiting]:
    query = sa.select(dead_letter).where(dead_letter.c.queue == "inbox", dead_letter.c.row_id.in_(came))
    return [_letter(row) for row in await connection.execute(query.order_by(dead_letter.c.id))]


def _letter(row: Any) -> Waiting:
    return Waiting(queue="dead_letter", kind=row.reason, at=row.at, state="dead")
