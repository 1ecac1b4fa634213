"""The embedded server as it was at a moment between two backups, while the homeserver has gone on."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from messenger import bootstrap
from messenger.demo.synapse import Synapse
from messenger.storage import continuous
from messenger.storage.backup_set import BadSet
from messenger.storage.dump import DatabaseInUse
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.postgres_tools import tools_for
from messenger.storage.server_programs import VERSION
from tests.crash.house import House
from tests.disaster.site import Site
from tests.support.databases import TestDatabases
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


@pytest.fixture
async def embedded_site(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> AsyncIterator[Site]:
    """Its databases are the ones that Stellwerk runs itself."""
    async with House.build(tmp_path, synapse, test_databases.server, database_url) as house:
        product = house.product
        server = EmbeddedPostgres(product.folder / "var" / "postgres")
        kept = [line for line in product.settings_file.read_text().splitlines() if not line.startswith('url = "')]
        product.settings_file.write_text("\n".join(kept))
        product.database_url = server.uri("stellwerk")
        await house.use(product.database_url)
        yield Site(house, server, tmp_path)
        await server.stop()


@asynccontextmanager
async def _streaming(site: Site, folder: Path) -> AsyncIterator[None]:
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "messenger.cli", "--config", str(site.product.settings_file)],
            *["backup", "continuous", str(folder)],
            stdout=out,
            stderr=out,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        )
        try:
            await eventually(lambda: "Streaming" in log.read_text(), 60, what="the stream runs")
            yield
        finally:
            process.terminate()
            assert await process.wait() == 0, log.read_text()


@pytest.mark.long
async def test_any_moment_comes_back_and_nothing_is_lost_or_doubled(embedded_site: Site) -> None:
    site, house, folder = embedded_site, embedded_site.house, embedded_site.folder("stream")
    server = EmbeddedPostgres(site.product.folder / "var" / "postgres")
    await server.start()
    office = await house.open_office(agents=1, customers=1)
    matter = office.matters[0]
    async with _streaming(site, folder):
        await office.burst(matter.asks, 3)
        await office.burst(matter.answers, 3)
        await house.drain()
        moment = datetime.now(UTC)
        await office.burst(matter.asks, 3)
        await matter.answers.write(file=True)
        await house.drain()
        site.product.kill()
        await house.engine.dispose()
        bootstrap.verify_continuous(folder)
    await server.stop()

    with pytest.raises(BadSet, match="before that, take another set"):
        await bootstrap.restore_to(site.settings, folder, moment - timedelta(days=1))
    with pytest.raises(DatabaseInUse, match="move that folder away"):
        await bootstrap.restore_to(site.settings, folder, moment)
    shutil.rmtree(server.folder)
    with pytest.raises(BadSet, match="the log ends before that time"):
        await bootstrap.restore_to(site.settings, folder, moment + timedelta(days=1))
    assert not server.folder.exists()
    await site.types("restore", str(folder), "--at", moment.isoformat(timespec="seconds"))
    assert (await site.recover()).sent_before >= 4
    await site.product.start()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()
    await site.product.stop()


async def test_who_ends_a_stream_for_good_is_waited_for_no_more(own_postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    tools = tools_for(own_postgres.uri(), VERSION, is_embedded=True)
    await continuous.make_base(own_postgres, tools, tmp_path / "stream")
    async with continuous.stream(tools, tmp_path / "stream"):
        await eventually(lambda: own_postgres.value("SELECT active FROM pg_replication_slots"), what="it streams")
        with pytest.raises(BadSet, match="stop it first"):
            await continuous.end(own_postgres)
    await eventually(lambda: own_postgres.value("SELECT NOT active FROM pg_replication_slots"), what="it has stopped")
    await continuous.end(own_postgres)
    assert await own_postgres.value("SELECT count(*) FROM pg_replication_slots") == 0


def test_a_copy_with_a_changed_file_or_a_gap_in_its_log_is_refused(tmp_path: Path) -> None:
    _small_copy(tmp_path)
    continuous.check_base(tmp_path)
    (tmp_path / "wal" / "000000010000000000000002").unlink()
    with pytest.raises(BadSet, match="1 parts are missing"):
        continuous.check_base(tmp_path)
    (tmp_path / "base" / "PG_VERSION").write_text("17")
    with pytest.raises(BadSet, match="was changed after the backup"):
        continuous.check_base(tmp_path)


def _small_copy(folder: Path) -> None:
    for name in ("base", "wal"):
        (folder / name).mkdir()
    (folder / "base" / "PG_VERSION").write_text("18")
    listed = [{"Path": "PG_VERSION", "Checksum": hashlib.sha256(b"18").hexdigest()}]
    (folder / "base" / "backup_manifest").write_text(json.dumps({"Files": listed}))
    for part in ("000000010000000000000001", "000000010000000000000002", "000000010000000000000003.partial"):
        (folder / "wal" / part).touch()
