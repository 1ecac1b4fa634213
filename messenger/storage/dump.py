"""A database as one file, all of it of one moment, and back again. The crypto store is part of the database: ratchets,
inbox and sync token in a dump fit each other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.storage.models.disaster import living_desk
from messenger.storage.models.queues import desk, lease
from messenger.storage.postgres_tools import Tools


class DatabaseInUse(Exception):
    """The database holds something already; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the database said in the snapshot that the dump shows."""

    snapshot: str
    at: datetime
    counts: Mapping[str, int]
    desks: Mapping[str, Mapping[str, Any]]


async def server_version(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.text("SHOW server_version_num")) or 0) // 10_000


@asynccontextmanager
async def one_moment(engine: AsyncEngine, *, has_desks: bool) -> AsyncIterator[Moment]:
    """Holds the database's state for everybody who names the snapshot, as long as it is open. Others go on writing."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin():
            # A dump may take longer than our transactions may.
            await connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield Moment(
                snapshot=str(await connection.scalar(sa.text("SELECT pg_export_snapshot()"))),
                at=(await connection.execute(sa.select(sa.func.now()))).scalar_one(),
                counts={name: await _count(connection, name) for name in await _tables(connection)},
                desks=await _desks(connection) if has_desks else {},
            )


async def dump(tools: Tools, file: Path, *, snapshot: str = "") -> None:
    """Raises ToolFailed."""
    more = [f"--snapshot={snapshot}"] if snapshot else []
    await tools.run(
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        f"--exclude-table-data={living_desk.name}",
        f"--file={file}",
        *more,
    )


async def load(tools: Tools, file: Path, database: str) -> None:
    """All of it or, after a failure, nothing. Raises ToolFailed."""
    await tools.run(
        "pg_restore",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--dbname={database}",
        str(file),
    )


async def counts(engine: AsyncEngine) -> Mapping[str, int]:
    async with engine.connect() as connection:
        return {name: await _count(connection, name) for name in await _tables(connection)}


async def assert_empty(engine: AsyncEngine, *, replace_empty: bool, drop: bool = False) -> None:
    """Raises DatabaseInUse. `replace_empty` also takes a database whose tables hold no row of anybody's work, and with
    `drop` they go."""
    async with engine.begin() as connection:
        tables = await _tables(connection)
        used = await _used(connection, tables)
        if used or (tables and not replace_empty):
            raise DatabaseInUse(_in_use(used))
        if drop:
            await _drop_all(connection, tables)


_OWN_ROUTINES = sa.text(
    "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace "
    "AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')"  # not those of extensions
)


async def _drop_all(connection: AsyncConnection, tables: list[str]) -> None:
    for name in tables:
        await connection.execute(sa.text(f'DROP TABLE "{name}" CASCADE'))
    for signature in list(await connection.scalars(_OWN_ROUTINES)):
        await connection.execute(sa.text(f"DROP ROUTINE {signature} CASCADE"))


async def is_untouched(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return not await _used(connection, await _tables(connection))


async def _used(connection: AsyncConnection, tables: list[str]) -> list[str]:
    return [name for name in tables if name in _OF_WORK and await _count(connection, name)]


_OF_WORK = frozenset(
    {"conversation", "message", "contact", "chat", "inbox", "outbox", "event_log", "desk", "staff", "subject_key"}
)


def _in_use(kept: list[str]) -> str:
    if kept:
        return (
            f"the database holds data already (in {', '.join(sorted(kept))}), and a restore never overwrites any. Name "
            "another database, or move this one away"
        )
    return (
        "the database has tables already. If it is the one you have just made and nobody has worked with it: "
        "--replace-empty"
    )


async def _tables(connection: AsyncConnection) -> list[str]:
    """Whatever the program that made the database called them."""
    query = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
    return list(await connection.scalars(query))


async def _count(connection: AsyncConnection, table: str) -> int:
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) or 0)


async def _desks(connection: AsyncConnection) -> Mapping[str, Mapping[str, Any]]:
    epoch = sa.select(lease.c.epoch).where(lease.c.resource == "desk:" + desk.c.account).scalar_subquery()
    rows = await connection.execute(sa.select(desk.c.account, desk.c.device_id, desk.c.mark, epoch.label("epoch")))
    return {row.account: {"device_id": row.device_id, "mark": row.mark, "epoch": row.epoch} for row in rows}
