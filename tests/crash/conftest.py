"""The house that is crashed: a homeserver and a durable database of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash.house import House


@pytest.fixture
async def house(tmp_path: Path, own_synapse: Synapse, own_postgres: EmbeddedPostgres) -> AsyncIterator[House]:
    async with House.build(tmp_path, own_synapse, own_postgres) as built:
        yield built
