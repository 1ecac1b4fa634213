"""Houses whose database is destroyed and brought back from a backup."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from tests.crash.house import House
from tests.disaster.site import Site
from tests.support.databases import TestDatabases


@pytest.fixture
async def site(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> AsyncIterator[Site]:
    """On the shared servers: only its own database may be destroyed."""
    async with House.build(tmp_path, synapse, test_databases.server, database_url) as house:
        yield Site(house, test_databases.server, tmp_path)
