"""The schema's versions, by Alembic. The scripts travel inside the package when it is installed."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

_PACKAGE = Path(__file__).parents[1]


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


def head(schema: Schema = MAIN) -> str:
    return ScriptDirectory.from_config(config(schema=schema)).get_current_head() or ""


async def current(engine: AsyncEngine, schema: Schema = MAIN) -> str | None:
    """The version of the database; None for an empty one."""
    options = {"version_table": schema.version_table}
    async with engine.connect() as connection:
        return await connection.run_sync(
            lambda sync: MigrationContext.configure(sync, opts=options).get_current_revision()
        )


async def upgrade(engine: AsyncEngine, target: str = "head", schema: Schema = MAIN) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(config(sync, schema), target))


def as_sql(schema: Schema = MAIN) -> str:
    """The statements of all migrations."""
    out, settings = StringIO(), config(schema=schema)
    settings.output_buffer = out
    command.upgrade(settings, "head", sql=True)
    return out.getvalue()


def knows(revision: str, schema: Schema = MAIN) -> bool:
    """Can a database of this version be brought to ours?"""
    try:
        return ScriptDirectory.from_config(config(schema=schema)).get_revision(revision) is not None
    except CommandError:
        return False
