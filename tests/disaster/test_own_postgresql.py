"""The recipe of the manual for a PostgreSQL that Stellwerk does not run: its blocks are executed as they stand there,
with PostgreSQL's own programs, and how much is lost is counted."""

import asyncio
import itertools
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from messenger.demo.synapse import Synapse
from messenger.storage.embedded import SUPERUSER, EmbeddedPostgres
from messenger.storage.server_programs import programs
from tests.crash.house import House
from tests.disaster.site import Site
from tests.support.waiting import eventually

pytestmark = [pytest.mark.crash, pytest.mark.long]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "backup-and-disaster.md"
ROWS = 2_000


def _block(name: str) -> str:
    [found] = re.findall(rf"^```sh\n# {name}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


class Server:
    """A PostgreSQL with the folder of its backups. The folder lies beside its data, so that the server's account may
    read it: here all is one machine."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder)
        self.backup = folder / "backup"
        self._stream: asyncio.subprocess.Process | None = None

    async def run(self, block: str, *, database: str = SUPERUSER) -> asyncio.subprocess.Process:
        environment = {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "PGHOST": str(self.postgres.socket_folder),
            "PGUSER": SUPERUSER,
            "PGDATABASE": database,
            "PGDATA": str(self.postgres.data),
            "BACKUP": str(self.backup),
            "AT": "",
        }
        command = ["bash", "-euo", "pipefail", "-c", _block(block)]
        return await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment})

    async def does(self, block: str, **options: str) -> None:
        assert await (await self.run(block, **options)).wait() == 0, block

    async def begin(self) -> None:
        await self.does("first copy")
        self._stream = await self.run("stream")
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        await eventually(lambda: self._count(streams), 60, what="the stream runs")

    async def _count(self, query: str) -> int:
        return int(str(await self.postgres.value(query)))

    async def end_stream(self) -> None:
        if self._stream is not None and self._stream.returncode is None:
            self._stream.kill()
            await self._stream.wait()

    async def lose(self) -> None:
        await self.postgres.crash()
        await self.end_stream()
        await self.postgres.stop()
        shutil.rmtree(self.postgres.data)

    async def bring_back(self) -> None:
        self.postgres.data.mkdir()
        await self.does("bring back")
        self.postgres.adopt(self.postgres.folder)
        await self.postgres.start()
        plays = "SELECT pg_is_in_recovery()::int"
        await eventually(lambda: self._is_zero(plays), 120, what="the log was played")

    async def _is_zero(self, query: str) -> bool:
        return await self._count(query) == 0


@pytest.fixture
async def servers(tmp_path: Path, synapse: Synapse) -> AsyncIterator[tuple[Site, Server, Server]]:
    main, keys = Server(tmp_path / "main"), Server(tmp_path / "keys")
    for each in (main, keys):
        await each.postgres.start()
    url = await main.postgres.create_database("stellwerk")
    async with House.build(tmp_path, synapse, main.postgres, url) as house:
        await _move_keys(house, await keys.postgres.create_database("stellwerk_keys"))
        yield Site(house, main.postgres, tmp_path), main, keys
    for each in (main, keys):
        await each.end_stream()
        await each.postgres.stop()


async def _move_keys(house: House, url: str) -> None:
    """To a server of their own. Nothing is in them yet."""
    from messenger import bootstrap

    product = house.product
    await house.use(product.database_url)
    product.settings_file.write_text(product.settings_file.read_text().replace(product.key_database_url, url))
    product.key_database_url = url
    await bootstrap.migrate(product.settings)


async def test_the_recipe_of_the_manual_brings_both_servers_back(
    servers: tuple[Site, Server, Server], record_property: Callable[[str, object], None]
) -> None:
    site, main, keys = servers
    house = site.house
    office = await house.open_office(agents=1, customers=1)
    matter = office.matters[0]
    await site.types("backup", str(site.folder("daily")))
    for each in (main, keys):
        await each.begin()
    await office.burst(matter.asks, 3)
    await office.burst(matter.answers, 3)
    await house.drain()
    site.product.kill()
    await house.engine.dispose()
    await keys.lose()
    acknowledged = await _writes_until_it_is_lost(main)
    site.lose_ledger()

    for each in (keys, main):
        await each.bring_back()
    lost_s = await _lost_s(main, acknowledged)
    record_property("rpo", f"{lost_s * 1000:.0f} ms of {len(acknowledged)} commits")
    await main.does("no desk in it is alive", database="stellwerk")
    assert "The erasure ledger has" in await site.types("restore", str(site.folder("daily")), "--only-ledger")
    assert "recover-desk" in await site.types("serve", succeeds=False)
    await site.types("recover-desk")
    await site.product.start()
    await office.burst(matter.asks, 1)
    await house.drain()
    assert not await house.judge()
    assert lost_s < 60, "the goal of the design"


async def _writes_until_it_is_lost(server: Server) -> list[float]:
    """When each of the rows 0, 1, 2 … was acknowledged, up to the crash, which comes while they are written."""
    await server.postgres.create_database("probe")
    acknowledged: list[float] = []
    writer = await _probe(server)
    await writer.execute("CREATE TABLE probe (n int)")

    async def write() -> None:
        for n in itertools.count():
            await writer.execute("INSERT INTO probe VALUES ($1)", n)
            acknowledged.append(time.monotonic())

    writing = asyncio.create_task(write())
    await eventually(lambda: len(acknowledged) > ROWS, 120, what="rows are written")
    await server.lose()
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await writing
    return acknowledged


async def _lost_s(server: Server, acknowledged: list[float]) -> float:
    """From the newest row that is there to the newest that was acknowledged."""
    reader = await _probe(server)
    newest = int(await reader.fetchval("SELECT max(n) FROM probe"))
    assert await reader.fetchval("SELECT count(*) FROM probe") == newest + 1, "no gap before that"
    await reader.close()
    return max(0.0, acknowledged[-1] - acknowledged[min(newest, len(acknowledged) - 1)])


async def _probe(server: Server) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(host=str(server.postgres.socket_folder), user=SUPERUSER, database="probe")
