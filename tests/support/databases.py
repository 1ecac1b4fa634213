"""One PostgreSQL for each worker of this checkout's test sessions, and a fresh database for each test.

The server is shared through its folder, so that sessions which run side by side need no second one, and the last one
stops it and takes the folder away; each worker (`pytest -n`) has a folder of its own. A cluster with the schema in one
database is prepared once per state of the migrations and copied for each server; that database is cloned for each test,
which takes a few hundredths of a second in memory, and several times that on a disk that others write to."""

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
from messenger.storage.embedded import SUPERUSER, VERSION, EmbeddedPostgres

CHECKOUT = Path(__file__).parents[2]
PREPARED = CHECKOUT / "var" / "test"
MEMORY = Path("/dev/shm")
ROOMY_BYTES = 4 << 30
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
SERVER_NAME = f"postgres{WORKER and '-'}{WORKER}"
TEMPLATE = "template_stellwerk"
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

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedPostgres(folder, settings=FAST)
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        with one_at_a_time("postgres"):
            if not (self.server.data / "PG_VERSION").exists():
                shutil.rmtree(self.server.data, ignore_errors=True)
                shutil.copytree(await _prepared_cluster(), self.server.data)
                self.server.adopt(self.server.data)
            await self.server.start()
        for name in await self.server.databases():
            if name.startswith("test_") and not psutil.pid_exists(int(name.split("_")[1])):
                await self.server.drop_database(name)

    async def close(self) -> None:
        with one_at_a_time("postgres"):
            await self.server.stop()
            if not (self.server.data / "postmaster.pid").exists():  # else another session uses it
                shutil.rmtree(self.server.folder)

    async def fresh(self, *, empty: bool = False) -> str:
        """Makes a database with our schema (or an empty one) and returns its name."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        # Its files are copied: half the work of writing each page to the log too, which is done unless asked otherwise.
        template = "" if empty else f' TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY'
        await self.server.execute(f'CREATE DATABASE "{name}"{template}')
        return name

    async def drop(self, name: str) -> None:
        """Together with its key database, if it has one."""
        await self.server.drop_database(name, f"{name}_keys")


def server_folder() -> Path:
    """Of this worker and this schema: a session that began before a change of the migrations keeps its own."""
    return temporary_folder() / f"{SERVER_NAME}-{_schema_fingerprint()}"


async def _prepared_cluster() -> Path:
    """The data folder of a server that is not running. Nobody connects to its TEMPLATE: PostgreSQL refuses to clone a
    database that is in use."""
    ready = PREPARED / f"cluster-{VERSION}-{_schema_fingerprint()}"
    if not ready.exists():
        for outdated in PREPARED.glob("*cluster-*"):
            shutil.rmtree(outdated)
        await _prepare_cluster(ready)
    return ready / "data"


async def _prepare_cluster(ready: Path) -> None:
    server = EmbeddedPostgres(ready.with_name(f"draft-{ready.name}"), settings=FAST)
    await server.start()
    await create_schema(await server.create_database(TEMPLATE))
    await server.stop()
    server.folder.rename(ready)


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
