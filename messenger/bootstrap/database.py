"""From settings to an open database, embedded or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.config import Settings
from messenger.storage import migration
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.encryption import read_root_key
from messenger.storage.installation import open_installation

DATABASE = "stellwerk"
KEY_CONNECTIONS = 2


class SchemaIsOld(Exception):
    """The database lacks migrations; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    current: str | None
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """An open database with its keys."""

    engine: AsyncEngine
    keys: DataKeys
    namespace: UUID


@asynccontextmanager
async def embedded_database(settings: Settings) -> AsyncIterator[str]:
    """The address of the database; the embedded server runs as long as somebody uses it."""
    if settings.database.address():
        yield settings.database.address()
        return
    server = EmbeddedPostgres(settings.server.data_dir / "postgres")
    await server.start()
    try:
        if DATABASE not in await server.databases():
            await server.create_database(DATABASE)
        yield server.uri(DATABASE)
    finally:
        await server.stop()


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    async with embedded_database(settings) as url:
        engine = connect(url, pool_size=settings.database.pool_size)
        try:
            yield engine
        finally:
            await engine.dispose()


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """Raises BadRootKey and SchemaIsOld, in words for the operator."""
    root = read_root_key(settings.security.root_key_file)
    async with open_engine(settings) as engine:
        if not settings.database.address():
            await migration.upgrade(engine)
        if await migration.current(engine) != migration.head():
            raise SchemaIsOld("the database lacks migrations: stellwerk migrate up")
        # A pool of its own: who asks for a key holds a connection already, and many of them would wait for each other.
        for_keys = connect(engine.url.render_as_string(hide_password=False), pool_size=KEY_CONNECTIONS)
        try:
            yield Storage(engine=engine, keys=DataKeys(for_keys, root), namespace=await open_installation(engine, root))
        finally:
            await for_keys.dispose()


async def migrate(settings: Settings, target: str = "head") -> None:
    async with open_engine(settings) as engine:
        await migration.upgrade(engine, target)


async def schema_status(settings: Settings) -> SchemaStatus:
    async with open_engine(settings) as engine:
        return SchemaStatus(current=await migration.current(engine), head=migration.head())


async def migration_sql(settings: Settings) -> str:
    return migration.as_sql()
