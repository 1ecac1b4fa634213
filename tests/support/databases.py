"""One PostgreSQL for each worker of this checkout's test sessions, and a fresh database for each test.

The server is shared through its folder, so that sessions which run side by side need no second one, and the last one
stops it; each worker (`pytest -n`) has a folder of its own. A database with the schema is made once per state of the
migrations and cloned for each test, which takes a few hundredths of a second."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from messenger.storage import migration
from messenger.storage.embedded import SUPERUSER, EmbeddedPostgres

CHECKOUT = Path(__file__).parents[2]
PREPARED = CHECKOUT / "var" / "test"
MEMORY = Path("/dev/shm")
ROOMY_BYTES = 4 << 30
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
SERVER_FOLDER = PREPARED / f"postgres{WORKER and '-'}{WORKER}"
# A killed PostgreSQL loses nothing without fsync (only a killed machine does), and the tests run twice as fast.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


def temporary_folder() -> Path:
    """For pytest, made: in memory where there is room, because a homeserver waits for the disk after every write. What
    ends a process loses nothing there either. Sessions that went well leave nothing."""
    name = f"stellwerk-tests-{os.getuid()}-{hashlib.sha256(bytes(CHECKOUT)).hexdigest()[:12]}"
    is_roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOMY_BYTES
    folder = MEMORY / name if is_roomy else PREPARED / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class TestDatabases:
    """Hands out fresh databases on one server. The names carry our pid, so that leftovers of dead sessions are
    recognised."""

    __test__ = False

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        await self.server.start()
        for name in await self.server.databases():
            if name.startswith("test_") and not psutil.pid_exists(int(name.split("_")[1])):
                await self.server.drop_database(name)

    async def fresh(self, *, empty: bool = False) -> str:
        """Makes a database with our schema (or an empty one) and returns its name."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await self.server.create_database(name, template=None if empty else await self._template())
        return name

    async def drop(self, name: str) -> None:
        """Together with its key database, if it has one."""
        await self.server.drop_database(name)
        await self.server.drop_database(f"{name}_keys")

    async def _template(self) -> str:
        """Cloned from, never connected to: PostgreSQL refuses to clone a database that is in use."""
        name = f"template_{_schema_fingerprint()}"
        if name not in await self.server.databases():
            await self._make_template(name)
        return name

    async def _make_template(self, name: str) -> None:
        unfinished = await self.fresh(empty=True)
        await create_schema(self.server.uri(unfinished))
        if name in await self.server.databases():  # another session was faster
            await self.server.drop_database(unfinished)
        else:
            await self.server.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')


async def create_schema(url: str) -> None:
    """Of both databases in one: the use cases do not care. The program itself is given two, see `key_database_of`."""
    engine = create_async_engine(url)
    try:
        await migration.upgrade(engine)
        await migration.upgrade(engine, schema=migration.KEYS)
    finally:
        await engine.dispose()


def key_database_of(url: str) -> str:
    """The key database that belongs to this one, on the same server."""
    main = make_url(url)
    return main.set(database=f"{main.database}_keys").render_as_string(hide_password=False)


async def make_database(url: str) -> None:
    wanted = make_url(url)
    engine = create_async_engine(wanted.set(database=SUPERUSER), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql(f'CREATE DATABASE "{wanted.database}"')
    finally:
        await engine.dispose()


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """For what is made once and used by all workers. The kernel gives the lock of a killed worker free."""
    PREPARED.mkdir(parents=True, exist_ok=True)
    with (PREPARED / f"{name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _schema_fingerprint() -> str:
    sources = sorted((CHECKOUT / "migrations").rglob("*.py"))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
