"""Transactions of asyncpg's own on connections of SQLAlchemy's pool: both write into the same one, and whatever ends
badly leaves nothing behind for the next who gets the connection."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.ports import StorageAway
from messenger.storage.database import at_once, fetch, first, transaction
from messenger.storage.models.queues import cursor
from messenger.storage.statements import Statement
from tests.support.waiting import eventually

_PUT = Statement("INSERT INTO cursor (source, token, epoch) VALUES (:source, :token, 1) RETURNING source")
_TOKEN = Statement(sa.select(cursor.c.token).where(cursor.c.source == sa.bindparam("source")))
_PID = Statement("SELECT pg_backend_pid() AS pid")
_SLEEP = Statement("SELECT pg_sleep(600)")
_END = Statement("SELECT pg_terminate_backend(CAST(:pid AS int))")


async def test_both_ways_of_asking_are_one_transaction(database: AsyncEngine) -> None:
    async with transaction(database) as connection:
        await fetch(connection, _PUT, {"source": "@a:x", "token": "1"})
        await connection.execute(cursor.update().values(token="2"))
        assert (await first(connection, _TOKEN, {"source": "@a:x"})).token == "2"
        async with at_once(database) as other:
            assert await first(other, _TOKEN, {"source": "@a:x"}) is None
    async with at_once(database) as other:
        assert (await first(other, _TOKEN, {"source": "@a:x"})).token == "2"


async def test_what_fails_leaves_nothing_whichever_way_it_was_asked(database: AsyncEngine) -> None:
    async def write_and_fail() -> None:
        async with transaction(database) as connection:
            await connection.execute(cursor.insert().values(source="@a:x", token="1", epoch=1))
            await fetch(connection, _PUT, {"source": "@a:x", "token": "again"})

    with pytest.raises(DBAPIError, match="UniqueViolation"):
        await write_and_fail()
    async with at_once(database) as connection:
        assert await first(connection, _TOKEN, {"source": "@a:x"}) is None


async def test_a_statement_of_its_own_is_committed_at_once(database: AsyncEngine) -> None:
    async with at_once(database) as connection:
        await connection.execute(cursor.insert().values(source="@a:x", token="1", epoch=1))
        await fetch(connection, _PUT, {"source": "@b:x", "token": "2"})
        async with at_once(database) as other:
            found = [(await first(other, _TOKEN, {"source": source})).token for source in ("@a:x", "@b:x")]
    assert found == ["1", "2"]


async def test_a_wrong_argument_is_no_sign_of_a_lost_database(database: AsyncEngine) -> None:
    with pytest.raises(DBAPIError, match="DataError"):
        async with at_once(database) as connection:
            await fetch(connection, _END, {"pid": "no number"})


async def test_a_database_that_goes_away_in_the_middle_is_told_and_the_next_connection_works(
    database: AsyncEngine,
) -> None:
    with pytest.raises(StorageAway):
        await _is_ended_in_a_transaction(database)
    async with at_once(database) as connection, at_once(database) as another:
        assert await first(connection, _PID, {}) != await first(another, _PID, {})


async def _is_ended_in_a_transaction(database: AsyncEngine) -> None:
    async with transaction(database) as connection:
        pid = (await first(connection, _PID, {})).pid
        async with at_once(database) as other:
            await fetch(other, _END, {"pid": pid})
        await fetch(connection, _SLEEP, {})


async def test_a_connection_that_ended_in_the_pool_goes_to_nobody(database: AsyncEngine) -> None:
    async with at_once(database) as lost, at_once(database) as other:
        driver, pid = lost.driver, (await first(lost, _PID, {})).pid
        await fetch(other, _END, {"pid": pid})
        await eventually(driver.is_closed)
    async with at_once(database) as one, at_once(database) as another:
        pids = {(await first(connection, _PID, {})).pid for connection in (one, another)}
    assert pid not in pids


async def test_who_is_interrupted_leaves_no_open_transaction(database: AsyncEngine) -> None:
    has_begun = asyncio.Event()

    async def write_and_wait() -> None:
        async with transaction(database) as connection:
            await fetch(connection, _PUT, {"source": "@a:x", "token": "1"})
            has_begun.set()
            await fetch(connection, _SLEEP, {})

    task = asyncio.create_task(write_and_wait())
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with transaction(database) as connection:  # the row of the same key would wait for ever
        await fetch(connection, _PUT, {"source": "@a:x", "token": "2"})
    assert database.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_connection_left_in_the_middle_of_something_is_ended(database: AsyncEngine) -> None:
    async with at_once(database) as connection:
        pid = (await first(connection, _PID, {})).pid
        await connection.driver.execute("BEGIN")
    async with at_once(database) as connection:
        assert (await first(connection, _PID, {})).pid != pid


async def test_a_line_that_is_cut_in_the_middle_is_told_and_replaced(database: AsyncEngine) -> None:
    async def cut() -> None:
        async with transaction(database) as connection:
            await fetch(connection, _PUT, {"source": "@a:x", "token": "1"})
            connection.driver.terminate()
            await connection.execute(cursor.update().values(token="2"))

    with pytest.raises(StorageAway):
        await cut()
    async with at_once(database) as connection:
        assert await first(connection, _TOKEN, {"source": "@a:x"}) is None
