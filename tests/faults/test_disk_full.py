"""No room is left on the database's disk (F12): nothing is acknowledged that was not stored, and the program goes on by
itself as soon as there is room again."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash.house import House
from tests.support.waiting import eventually

pytestmark = pytest.mark.long

DISK_MB = 256


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
async def house(small_disk: Path, tmp_path: Path, synapse: Synapse) -> AsyncIterator[House]:
    server = EmbeddedPostgres(small_disk / "postgres", settings={"max_wal_size": "32MB", "min_wal_size": "32MB"})
    await server.start()
    try:
        url = await server.create_database("stellwerk")
        async with House.build(tmp_path, synapse, server, url) as built:
            yield built
    finally:
        await server.stop()


async def test_a_full_disk_of_the_database_loses_nothing(house: House, small_disk: Path) -> None:
    office = await house.open_office(agents=1, customers=1)
    matter, ballast = office.matters[0], small_disk / "ballast"
    _fill(ballast, small_disk)

    async def write(count: int) -> None:
        for _ in range(count):
            await asyncio.gather(matter.asks.write(file=True), matter.answers.write())

    await write(20)
    await eventually(lambda: _says_no_room(small_disk, house), 60, what="the database has said that there is no room")
    assert house.product.is_running, "it waits"
    ballast.unlink()
    await _is_back(house)
    await asyncio.gather(house.goes_on(more=1), write(1))
    await house.drain()
    damage = await house.judge()
    assert not damage, damage
    await house.assert_books_balance()


def _fill(ballast: Path, disk: Path) -> None:
    """All but the room for a few rows."""
    with ballast.open("wb") as file:
        left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(0, left - 64 * 1024))


def _says_no_room(disk: Path, house: House) -> bool:
    logs = [path for path in disk.rglob("*.log") if path.is_file()] + [house.product.log]
    return any("No space left" in path.read_text(errors="replace") or "DiskFull" in path.read_text(errors="replace")
               for path in logs)  # fmt: skip


async def _is_back(house: House) -> None:
    """PostgreSQL ends itself when its log cannot be written; whoever runs it starts it again."""

    async def answers() -> bool:
        try:
            await house.postgres.databases()
        except OSError:
            await house.postgres.start()
        return True

    await eventually(answers, 60, what="the database is back")
