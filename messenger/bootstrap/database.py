"""From settings to open databases, embedded or not: the main one, and the one of the keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.config import Settings
from messenger.storage import migration
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import IDLE_IN_TRANSACTION_S, connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.installation import open_installation
from messenger.storage.leases import RENEWALS
from messenger.storage.root_keys import RootKeys
from messenger.storage.subject_keys import SubjectKeys

DATABASE, KEY_DATABASE = "stellwerk", "stellwerk_keys"
# Of a statement; asyncpg waits as long again for the word that it was cancelled, and then gives the connection up.
PATIENCE_S = 15.0
KEY_CONNECTIONS = 2


class SchemaIsOld(Exception):
    """A database lacks migrations; the text says what to do."""


class SchemaIsNewer(Exception):
    """A newer program has taken away from the schema what this one needs; the text says what to do."""


class KeyDatabaseUnclear(Exception):
    """The settings do not say where the keys of persons live; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """Of both databases: the version that is there, and the one that this program brings. `fits`: it may serve on what
    is there, which may be newer if it has only been added to."""

    current: str | None
    head: str
    keys_current: str | None
    keys_head: str
    fits: bool
    is_newer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    main: str
    keys: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    main: AsyncEngine
    keys: AsyncEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The open databases with their keys."""

    engine: AsyncEngine
    keys: DataKeys
    namespace: UUID


@asynccontextmanager
async def embedded_database(settings: Settings) -> AsyncIterator[Addresses]:
    """The addresses of the databases; the embedded server runs as long as somebody uses it. Raises
    KeyDatabaseUnclear."""
    main, keys = settings.database.address(), settings.key_database.address()
    if main and not keys:
        raise KeyDatabaseUnclear(
            "key_database.url is missing: persons' keys live in a small PostgreSQL of their own, with its own backups. "
            "Make one and name it (or key_database.url_file)"
        )
    if main and main == keys:
        raise KeyDatabaseUnclear("key_database.url is database.url: the keys need a database of their own")
    if main and keys:
        yield Addresses(main=main, keys=keys)
        return
    server = EmbeddedPostgres(settings.server.data_dir / "postgres")
    await server.start()
    try:
        known = await server.databases()
        for name in (DATABASE, KEY_DATABASE):
            if name not in known:
                await server.create_database(name)
        yield Addresses(main=server.uri(DATABASE), keys=keys or server.uri(KEY_DATABASE))
    finally:
        await server.stop()


@asynccontextmanager
async def open_engines(
    settings: Settings, *, patience_s: float | None = None, idle_s: float = IDLE_IN_TRANSACTION_S
) -> AsyncIterator[Engines]:
    async with embedded_database(settings) as addresses:
        main = connect(addresses.main, pool_size=settings.database.pool_size, patience_s=patience_s, idle_s=idle_s)
        keys = connect(addresses.keys, pool_size=KEY_CONNECTIONS, application="stellwerk keys", patience_s=patience_s)
        try:
            yield Engines(main=main, keys=keys)
        finally:
            await main.dispose()
            await keys.dispose()


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The main database."""
    async with open_engines(settings) as engines:
        yield engines.main


@asynccontextmanager
async def open_storage(settings: Settings, *, is_serving: bool = False) -> AsyncIterator[Storage]:
    """`is_serving`: there are only short statements. Raises BadRootKey, KeyDatabaseUnclear, SchemaIsOld and
    SchemaIsNewer, in words for the operator."""
    roots = RootKeys.read(settings.security.root_key_file)
    # The embedded database is at the end of no line, and migrates here, which may take longer.
    patience_s = PATIENCE_S if is_serving and settings.database.address() else None
    idle_s = longest_pause_s(settings.limits.lease_seconds) if is_serving else IDLE_IN_TRANSACTION_S
    async with open_engines(settings, patience_s=patience_s, idle_s=idle_s) as engines:
        if not settings.database.address():
            await _upgrade_embedded(engines)
        check_schema(await _status(engines))
        # A pool of its own: who asks for a key holds a connection already, and many of them would wait for each other.
        address = engines.main.url.render_as_string(hide_password=False)
        for_keys = connect(address, pool_size=KEY_CONNECTIONS, patience_s=patience_s)
        try:
            subjects = SubjectKeys(engines.keys, roots)
            await subjects.check_root()
            namespace = await open_installation(engines.main, roots)
            yield Storage(engine=engines.main, keys=DataKeys(for_keys, subjects), namespace=namespace)
        finally:
            await for_keys.dispose()


def longest_pause_s(lease_s: float) -> float:
    """Of a process in the middle of a transaction: so much is left of its lease, whenever it stops."""
    return min(IDLE_IN_TRANSACTION_S, lease_s * (1 - 1 / RENEWALS))


async def _upgrade_embedded(engines: Engines) -> None:
    """Nothing where nothing is missing, nor where a newer program has been."""
    for engine, schema in ((engines.main, migration.MAIN), (engines.keys, migration.KEYS)):
        found = await migration.version(engine, schema)
        if not (found.fits(schema) or found.is_newer(schema)):
            await migration.upgrade(engine, schema=schema)


def check_schema(status: SchemaStatus) -> None:
    """Raises SchemaIsOld and SchemaIsNewer."""
    if status.fits:
        return
    if status.is_newer:
        raise SchemaIsNewer(
            f"a newer version of Stellwerk has changed the database ({status.current}, {status.keys_current}) so that "
            f"this one ({status.head}, {status.keys_head}) cannot serve on it any more: install the newer version"
        )
    raise SchemaIsOld("the database lacks migrations: stellwerk migrate up")


async def migrate(settings: Settings, target: str = "head") -> None:
    """The key database first: a new program may need what is in it."""
    async with open_engines(settings) as engines:
        await migration.upgrade(engines.keys, schema=migration.KEYS)
        await migration.upgrade(engines.main, target)


async def schema_status(settings: Settings) -> SchemaStatus:
    async with open_engines(settings) as engines:
        return await _status(engines)


async def _status(engines: Engines) -> SchemaStatus:
    return await status_of(engines.main, engines.keys)


async def status_of(main: AsyncEngine, keys: AsyncEngine) -> SchemaStatus:
    found, keys_found = await migration.version(main), await migration.version(keys, migration.KEYS)
    return SchemaStatus(
        current=found.current,
        head=migration.head(),
        keys_current=keys_found.current,
        keys_head=migration.head(migration.KEYS),
        fits=found.fits() and keys_found.fits(migration.KEYS),
        is_newer=found.is_newer() or keys_found.is_newer(migration.KEYS),
    )


async def migration_sql(settings: Settings) -> str:
    return migration.as_sql()


async def key_migration_sql(settings: Settings) -> str:
    return migration.as_sql(migration.KEYS)
