"""Fixtures for all tests: real servers that we start ourselves, a fresh database each, people who write and read.

The servers are session-wide and their fixtures plain functions, so that every test may have its own event loop."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import settings
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from tests.support.compiling import import_from_another_end
from tests.support.databases import WORKER, TestDatabases, server_folder, temporary_folder
from tests.support.homeservers import fresh_homeserver
from tests.support.leftovers import end_abandoned_databases
from tests.support.people import People
from tests.support.product import Product

# The same examples in every run there: a landing must not hang on chance. Everywhere else new ones are looked for.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")
# The programs that tests start compile their sources once, not at every start: half of their time otherwise.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Not the folder that all sessions of this user share: each new one closes it, also to the account of root's PostgreSQL.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(temporary_folder()))
# Up to a seventh of the tests' own work is looking for cycles, mostly among modules and collected tests, which stay.
gc.set_threshold(20_000, 20, 20)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not WORKER:
        end_abandoned_databases()
    elif session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        import_from_another_end(WORKER, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """For sockets: their paths may have no more than 107 bytes."""
    with TemporaryDirectory(prefix="s-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def test_databases() -> Iterator[TestDatabases]:
    """The shared PostgreSQL server. Never crash it (others use it): take `own_postgres` for that."""
    databases = TestDatabases(server_folder())
    asyncio.run(databases.open())
    yield databases
    asyncio.run(databases.close())


@pytest.fixture
async def database_url(test_databases: TestDatabases) -> AsyncIterator[str]:
    """A fresh database with our schema, dropped after the test."""
    name = await test_databases.fresh()
    yield test_databases.server.uri(name)
    await test_databases.drop(name)


@pytest.fixture
async def empty_database_url(test_databases: TestDatabases) -> AsyncIterator[str]:
    """A fresh database without any table: for migrations."""
    name = await test_databases.fresh(empty=True)
    yield test_databases.server.uri(name)
    await test_databases.drop(name)


@pytest.fixture(scope="session")
def moving_engine(test_databases: TestDatabases) -> AsyncEngine:
    """One engine for all tests of the session, which connects to the database of the test that is running: an engine of
    its own would put every statement together anew."""
    engine = connect(test_databases.server.uri())

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def to_this_tests(dialect: object, record: object, arguments: object, parameters: dict[str, object]) -> None:
        parameters["database"] = engine.sync_engine.url.database

    return engine


@pytest.fixture
async def database(database_url: str, moving_engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    moving_engine.sync_engine.url = sa.make_url(database_url)
    yield moving_engine
    await moving_engine.dispose()


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL server for this test alone, as durable as in production: it may be crashed and started again."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """One homeserver for all tests of the session, its rate limits raised. Never kill it: take `own_synapse` for
    that."""
    server = fresh_homeserver(tmp_path_factory.mktemp("homeserver") / "synapse")
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
def fresh_synapse(tmp_path: Path) -> Synapse:
    """A homeserver that is not started yet."""
    return fresh_homeserver(tmp_path / "synapse")


@pytest.fixture
async def own_synapse(fresh_synapse: Synapse) -> AsyncIterator[Synapse]:
    """A homeserver for this test alone: it may be killed and started again."""
    await fresh_synapse.start()
    yield fresh_synapse
    await fresh_synapse.stop()


@pytest.fixture
async def people(synapse: Synapse) -> AsyncIterator[People]:
    """Makes persons with an account of their own on the shared homeserver: `anna = await people.person("anna")`."""
    everybody = People(synapse)
    yield everybody
    await everybody.leave()


@pytest.fixture
async def product(tmp_path: Path, synapse: Synapse, database_url: str) -> AsyncIterator[Product]:
    """Stellwerk, installed but not started: `await product.start()`."""
    installed = await Product.install(tmp_path / "stellwerk", synapse, database_url)
    yield installed
    await installed.stop()
