"""Houses that are crashed: one with a homeserver and a durable database of its own, and small ones on the shared
servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash.house import House
from tests.support.databases import TestDatabases

MORE_TIMES = [pytest.param(time, marks=pytest.mark.long) for time in range(2, 6)]


@pytest.fixture(params=[1, *MORE_TIMES])
def five_times(request: pytest.FixtureRequest) -> int:
    """For points that the nightly series does not pass: once, and in the long run four times more. No two runs are
    alike in what else was on its way when the program died."""
    return int(request.param)


@pytest.fixture
async def house(tmp_path: Path, own_synapse: Synapse, own_postgres: EmbeddedPostgres) -> AsyncIterator[House]:
    """Everything of it may be crashed."""
    url = await own_postgres.create_database("stellwerk")
    async with House.build(tmp_path, own_synapse, own_postgres, url, is_alone=True) as built:
        yield built


@pytest.fixture
async def small_house(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> AsyncIterator[House]:
    """Only the program may be killed: the servers are everybody's."""
    async with House.build(tmp_path, synapse, test_databases.server, database_url) as built:
        yield built
