"""What a turn writes and nobody in it reads goes to the database in one statement, and is there for whoever reads."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from asyncpg.connection import LoggedQuery
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.staff import React
from messenger.storage.models.queues import inbox
from messenger.storage.together import Write, write
from tests.integration.staff_desk import StaffDesk, customer_says


@pytest.fixture
def statements(database: AsyncEngine) -> Iterator[list[str]]:
    """All that is sent to the database but BEGIN and COMMIT."""
    said: list[str] = []

    def note(asked: LoggedQuery) -> None:
        if not asked.query.startswith(("BEGIN", "COMMIT")):
            said.append(" ".join(asked.query.split()))

    def listen(connection: Any, *rest: object) -> None:
        connection.driver_connection.add_query_logger(note)

    sa.event.listen(database.sync_engine, "checkout", listen)
    yield said
    sa.event.remove(database.sync_engine, "checkout", listen)


async def test_a_customers_message_is_claimed_with_its_conversation_and_written_in_two_statements(
    database: AsyncEngine, statements: list[str]
) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    await desk.put(customer_says("$second", "And?"), lane="!chat")
    statements.clear()
    assert await desk.work(1) == 1
    claim, writes, last_look = statements
    assert "walk" in claim and "FROM conversation" in claim and "walk" in last_look
    for table in ("conversation", "event_log", "message", "remote_message", "outbox", "inbox"):
        assert f"UPDATE {table} " in writes or f"INSERT INTO {table} " in writes


async def test_whoever_reads_finds_what_was_written_before(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    async with desk.units() as unit:
        connection, rows = unit.inbox._connection, []
        for n in range(3):  # of one name, so that they cannot wait together
            add = Write(
                name="added",
                text="INSERT INTO inbox (source, source_id, lane, kind, enc_body) VALUES ('s', :id, 'l', 'k', '') "
                "RETURNING source_id",
                told=("source_id",),
            )
            await write(connection, add, {"id": f"{n}"}, hear=lambda told: rows.append(told["source_id"]))
        found = await connection.scalars(sa.select(inbox.c.source_id).order_by(inbox.c.id))
        assert found.all() == rows == ["0", "1", "2"]


async def _writes_what_cannot_stand(desk: StaffDesk) -> None:
    async with desk.units() as unit:
        await unit.outbox.put("test", [React(room="!r", event="$e", key="x")])
        connection = unit.inbox._connection
        await write(connection, Write(name="added", text="INSERT INTO inbox (lane) VALUES (:lane)"), {"lane": "l"})


async def test_what_fails_at_the_end_undoes_the_whole_unit(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    before = await desk.effects()
    with pytest.raises(DBAPIError, match="NotNullViolation"):
        await _writes_what_cannot_stand(desk)
    assert await desk.effects() == before
