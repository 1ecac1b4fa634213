"""A house whose program reaches its homeserver and its database over lines that fail on request. People and the
accountant have lines of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from tests.crash.house import House
from tests.support.databases import TestDatabases
from tests.support.fault_proxy import FaultProxy
from tests.support.waiting import eventually

SOCKET = ".s.PGSQL.5432"


@dataclass
class Site:
    house: House
    homeserver: FaultProxy
    database: FaultProxy
    keys: FaultProxy

    def heal(self) -> None:
        for line in (self.homeserver, self.database, self.keys):
            line.heal()

    async def nothing_is_missing(self) -> None:
        """The oracle: what people read on both sides, against what they sent."""
        await self.house.drain()
        damage = await self.house.judge()
        assert not damage, damage
        await eventually(self._nothing_is_open, what="marks and boards are there")
        await self.house.assert_books_balance()

    async def _nothing_is_open(self) -> bool:
        return await self.house.open_rows() == {}


@asynccontextmanager
async def open_site(
    folder: Path, synapse: Synapse, databases: TestDatabases, *, customers: int = 2, lease_s: float | None = None
) -> AsyncIterator[Site]:
    name = await databases.fresh()
    url, address = databases.server.uri(name), urlsplit(synapse.url)
    assert address.hostname and address.port
    homeserver = FaultProxy((address.hostname, address.port))
    database, keys = (FaultProxy(databases.server.socket_folder / SOCKET) for _ in range(2))
    parent = databases.server.socket_folder.parent  # a socket's path is short
    lines, key_lines = parent / f"line-{name}", parent / f"keys-{name}"
    for folder_of_line in (lines, key_lines):
        folder_of_line.mkdir(exist_ok=True)
        folder_of_line.chmod(0o777)
    await homeserver.start()
    await database.start(lines / SOCKET)
    await keys.start(key_lines / SOCKET)
    try:
        async with House.build(folder, synapse, databases.server, url, lease_s=lease_s) as house:
            settings = house.product.settings_file
            text = settings.read_text().replace(synapse.url, f"http://127.0.0.1:{homeserver.port}")
            main, of_keys, rest = text.partition("[key_database]")
            behind = str(databases.server.socket_folder)
            settings.write_text(main.replace(behind, str(lines)) + of_keys + rest.replace(behind, str(key_lines)))
            await house.open_office(agents=1, customers=customers)
            site = Site(house, homeserver, database, keys)
            yield site
            site.heal()
            await house.product.stop()
    finally:
        for line in (homeserver, database, keys):
            await line.stop()
        for folder_of_line in (lines, key_lines):
            (folder_of_line / SOCKET).unlink(missing_ok=True)
            folder_of_line.rmdir()
        await databases.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[Site]:
    """Shared by a module's tests: each heals what it breaks."""
    async with open_site(tmp_path_factory.mktemp("site"), synapse, test_databases) as site:
        yield site
