"""The log of a conversation: what has happened, by ids and codes, in the order of its versions."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.domain.events import Recorded
from messenger.domain.ids import ConversationId
from messenger.storage.codec import event_ids, load_event
from messenger.storage.models.conversations import event_log
from messenger.storage.together import Write, write

_LOGGED = {
    "conversation_id": "uuid",
    "version": "int",
    "type": "text",
    "actor": "text",
    "ids": "jsonb",
    "at": "timestamptz",
}


async def begin(connection: AsyncConnection, events: Sequence[Recorded]) -> None:
    """The first rows, behind the conversation's own."""
    await connection.execute(event_log.insert(), [_row(entry) for entry in events])


async def append(connection: AsyncConnection, events: Sequence[Recorded]) -> None:
    """More rows; they may leave together with the turn's other statements."""
    await write(connection, _rows(len(events)), _values(events))


async def history(connection: AsyncConnection, id: ConversationId) -> Sequence[Recorded]:
    query = sa.select(event_log).where(event_log.c.conversation_id == id).order_by(event_log.c.version)
    return [_recorded(row) for row in await connection.execute(query)]


async def last_activity(connection: AsyncConnection, id: ConversationId) -> datetime | None:
    """By our own clock: when the newest event was logged."""
    query = sa.select(sa.func.max(event_log.c.at)).where(event_log.c.conversation_id == id)
    last: datetime | None = await connection.scalar(query)
    return last


def _row(entry: Recorded) -> dict[str, Any]:
    return {
        "conversation_id": entry.conversation,
        "version": entry.version,
        "type": type(entry.event).__name__,
        "actor": entry.actor,
        "ids": event_ids(entry.event),
        "at": entry.at,
    }


@cache
def _rows(count: int) -> Write:
    """So many rows, numbered in their order. Each value is a parameter: with arrays PostgreSQL would plan anew each
    time."""
    rows = [
        "(" + ", ".join(f"CAST(:{name}_{n} AS {type})" for name, type in _LOGGED.items()) + ")" for n in range(count)
    ]
    return Write(name="logged", text=f"INSERT INTO event_log ({', '.join(_LOGGED)}) VALUES {', '.join(rows)}")  # noqa: S608 - fixed texts of ours


def _values(events: Sequence[Recorded]) -> dict[str, Any]:
    rows = [row | {"ids": json.dumps(row["ids"])} for row in map(_row, events)]
    return {f"{name}_{n}": row[name] for n, row in enumerate(rows) for name in _LOGGED}


def _recorded(row: Any) -> Recorded:
    return Recorded(
        conversation=ConversationId(UUID(str(row.conversation_id))),
        version=row.version,
        event=load_event(row.type, row.ids),
        at=row.at,
        actor=row.actor,
    )
