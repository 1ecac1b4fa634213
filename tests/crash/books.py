"""The accountant, who looks into the database: what is read, what is done with, what is open, what was given up."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.bootstrap.database import open_storage
from messenger.config import Settings
from messenger.domain.conversation import fold
from messenger.storage.conversation_rows import as_conversation
from messenger.storage.conversations import SqlConversations
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import dead_letter, inbox, outbox


async def known(engine: AsyncEngine, ids: Collection[str]) -> set[str]:
    """Of these events those that are in our inbox."""
    query = sa.select(inbox.c.source_id).where(inbox.c.source_id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Text))))
    async with engine.connect() as connection:
        return set(await connection.scalars(query))


async def handled(engine: AsyncEngine) -> int:
    """Rows of both queues that are done with."""
    ended = [
        sa.select(sa.func.count()).where(table.c.state.in_(("done", "sent"))).scalar_subquery()
        for table in (inbox, outbox)
    ]
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.select(ended[0] + ended[1])) or 0)


async def open_rows(engine: AsyncEngine) -> dict[str, int]:
    """By queue and state. Edits of cards that keep their distance are no open ends."""
    found = {}
    async with engine.connect() as connection:
        for name, table in (("inbox", inbox), ("outbox", outbox)):
            is_open = table.c.state.in_(("new", "claimed", "unknown", "waiting_key"))
            waits = sa.true() if table is inbox else table.c.kind != "EditCard"
            query = sa.select(table.c.kind, table.c.state, sa.func.count()).where(is_open, waits)
            for kind, state, count in await connection.execute(query.group_by(table.c.kind, table.c.state)):
                found[f"{name} {kind} {state}"] = count
    return found


async def bad_rows(engine: AsyncEngine) -> list[Any]:
    bad = ("dead", "failed", "quarantine", "undecryptable")
    async with engine.connect() as connection:
        rows = list(await connection.execute(sa.select(dead_letter.c.queue, dead_letter.c.reason)))
        for table in (inbox, outbox):
            rows += await connection.execute(sa.select(table.c.kind, table.c.state).where(table.c.state.in_(bad)))
    return rows


async def assert_log_folds(settings: Settings, conversations: int) -> None:
    """There are so many, and of each the log tells the same story as its row."""
    async with open_storage(settings) as storage, storage.engine.connect() as connection:
        rows = (await connection.execute(sa.select(conversation))).all()
        assert len(rows) == conversations
        stories = SqlConversations(connection, storage.keys)
        for row in rows:
            stored = as_conversation(row)
            assert fold(await stories.history(stored.id)) == stored
