"""The schema's versions, by Alembic. The scripts travel inside the package when it is installed.

Programs of two versions serve on one schema while an installation is updated, and a migration is run while the old
program serves. So every migration says in its head what it is: `expand` adds what the old program does not see;
`backfill` fills it; `contract` takes away what an old program needs, one version later, and names in `oldest_program`
the revision that a program must know to serve on what is left. That stands in the database, beside its version."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
# Who waits for a lock lets everybody wait behind it; who works long under one does, too. Half a second is less than
# PostgreSQL lets a deadlock stand (1 s), so that of a migration and the program it is the migration that gives way.
LIMITS = {"lock_timeout": "500ms", "statement_timeout": "60s"}
TRIES, PAUSE_S, LONGEST_PAUSE_S = 20, 0.5, 5.0
_BUSY = ("55P03", "40P01")  # PostgreSQL, appendix A: lock not available, deadlock
# Alembic keeps the command that it carries out in a global of its own: one at a time in a process.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One database's chain of migrations, and the table in which it notes how far it has come."""

    scripts: str
    version_table: str


MAIN = Schema(scripts=".", version_table="alembic_version")
KEYS = Schema(scripts="keys", version_table="key_schema_version")


def config(connection: Connection | None = None, schema: Schema = MAIN) -> Config:
    """Alembic's configuration. With a connection its commands run there; without one only text is made."""
    installed, checkout = _PACKAGE / "_migrations", _PACKAGE.parent / "migrations"
    settings = Config()
    scripts = (installed if installed.exists() else checkout) / schema.scripts
    settings.set_main_option("script_location", str(scripts))
    settings.attributes["connection"] = connection
    return settings


@cache
def _scripts(schema: Schema) -> ScriptDirectory:
    """Read once: they are part of the program."""
    return ScriptDirectory.from_config(config(schema=schema))


def head(schema: Schema = MAIN) -> str:
    return _scripts(schema).get_current_head() or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Of a database: how far it has come (None: empty), and which revision a program must know at least."""

    current: str | None
    oldest_program: str | None = None

    def fits(self, schema: Schema = MAIN) -> bool:
        """May this program serve on it? On its own version, and on newer ones that have taken nothing away."""
        if self.current is None or knows(self.current, schema):
            return self.current == head(schema)
        return self.oldest_program is None or knows(self.oldest_program, schema)

    def is_newer(self, schema: Schema = MAIN) -> bool:
        return self.current is not None and not knows(self.current, schema)


async def version(engine: AsyncEngine, schema: Schema = MAIN) -> Version:
    query = text(
        f"SELECT version_num, to_jsonb(it) ->> 'oldest_program' AS oldest FROM {schema.version_table} AS it"  # noqa: S608
    )
    async with engine.connect() as connection:
        exists = await connection.scalar(text("SELECT to_regclass(:name)"), {"name": schema.version_table})
        row = (await connection.execute(query)).first() if exists else None
    return Version(current=row.version_num, oldest_program=row.oldest) if row else Version(current=None)


async def current(engine: AsyncEngine, schema: Schema = MAIN) -> str | None:
    """The version of the database; None for an empty one."""
    return (await version(engine, schema)).current


async def upgrade(engine: AsyncEngine, target: str = "head", schema: Schema = MAIN) -> None:
    await run(engine, config(schema=schema), lambda settings: command.upgrade(settings, target), schema=schema)


async def run(engine: AsyncEngine, settings: Config, order: Callable[[Config], None], *, schema: Schema = MAIN) -> None:
    """One of Alembic's commands. Each migration is a transaction of its own. What finds a table busy gives way and is
    tried again; so is what another process has done meanwhile."""
    for attempt in range(1, TRIES + 1):
        before = await current(engine, schema)
        try:
            async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                return await _run_once(engine, settings, order)
        except (DBAPIError, CommandError) as error:
            is_busy = isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") in _BUSY
            if attempt == TRIES or not (is_busy or await current(engine, schema) != before):
                raise
            log.info("a migration gives way", extra={"attempt": attempt, "schema": schema.version_table})
            await asyncio.sleep(min(PAUSE_S * attempt, LONGEST_PAUSE_S))


async def _run_once(engine: AsyncEngine, settings: Config, order: Callable[[Config], None]) -> None:
    """Within the limits of a migration."""
    async with engine.connect() as connection:
        try:
            for name, value in LIMITS.items():
                await connection.exec_driver_sql(f"SET {name} = '{value}'")
            await connection.commit()
            await connection.run_sync(lambda sync: _in(sync, settings, order))
        finally:
            await connection.rollback()
            for name in LIMITS:
                await connection.exec_driver_sql(f"RESET {name}")
            await connection.commit()


def _in(connection: Connection, settings: Config, order: Callable[[Config], None]) -> None:
    settings.attributes["connection"] = connection
    order(settings)


def note_oldest_program(*, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
    """Called by Alembic after each migration, inside its transaction."""
    revision = step.up_revision if step.is_upgrade else None
    oldest = getattr(getattr(revision, "module", None), "oldest_program", None)
    if oldest is not None:
        assert oldest.isalnum()
        ctx.execute(f"ALTER TABLE {ctx.version_table} ADD COLUMN IF NOT EXISTS oldest_program TEXT")
        ctx.execute(f"UPDATE {ctx.version_table} SET oldest_program = '{oldest}'")  # noqa: S608 - of our own file


def as_sql(schema: Schema = MAIN) -> str:
    """The statements of all migrations."""
    out, settings = StringIO(), config(schema=schema)
    settings.output_buffer = out
    command.upgrade(settings, "head", sql=True)
    return out.getvalue()


def knows(revision: str, schema: Schema = MAIN) -> bool:
    """Can a database of this version be brought to ours?"""
    try:
        return _scripts(schema).get_revision(revision) is not None
    except CommandError:
        return False
