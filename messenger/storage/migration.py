"""The schema's versions, by Alembic. The scripts travel inside the package when it is installed."""

from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

_PACKAGE = Path(__file__).parents[1]


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration. With a connection its commands run there; without one only text is made."""
    installed, checkout = _PACKAGE / "_migrations", _PACKAGE.parent / "migrations"
    settings = Config()
    settings.set_main_option("script_location", str(installed if installed.exists() else checkout))
    settings.attributes["connection"] = connection
    return settings


def head() -> str:
    return ScriptDirectory.from_config(config()).get_current_head() or ""


async def current(engine: AsyncEngine) -> str | None:
    """The version of the database; None for an empty one."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def upgrade(engine: AsyncEngine, target: str = "head") -> None:
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(config(sync), target))


def as_sql() -> str:
    """The statements of all migrations."""
    out, settings = StringIO(), config()
    settings.output_buffer = out
    command.upgrade(settings, "head", sql=True)
    return out.getvalue()
