"""Goal G10: a root key is rotated over a million keys in less than ten minutes, while others make and open keys."""

import asyncio
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.data_keys import DataKeys
from messenger.storage.encryption import read_root_key, write_root_key
from messenger.storage.installation import open_installation
from messenger.storage.key_rotation import Databases, begin, count_left, finish, rewrap
from messenger.storage.models.subject_keys import subject_key
from messenger.storage.root_keys import RootKeys, next_file
from messenger.storage.subject_keys import SubjectKeys, current_root, place

CHUNK = 20_000
GOAL_S, MILLION = 600.0, 1_000_000


@pytest.mark.parametrize(
    "count",
    [pytest.param(100_000, marks=pytest.mark.load), pytest.param(MILLION, marks=[pytest.mark.load, pytest.mark.long])],
)
async def test_a_million_keys_in_ten_minutes_under_traffic(database: AsyncEngine, tmp_path: Path, count: int) -> None:
    file = tmp_path / "root.key"
    write_root_key(file)
    await open_installation(database, RootKeys.read(file))
    for start in range(0, count, CHUNK):
        await _fill(database, RootKeys.read(file), min(CHUNK, count - start))
    write_root_key(next_file(file))
    new, over = read_root_key(next_file(file)), asyncio.Event()
    databases, served = Databases(main=database, keys=database), asyncio.create_task(_traffic(database, file, over))
    began = time.monotonic()
    await begin(databases, new)
    done = await rewrap(databases, RootKeys.read(file), new)
    await finish(databases, new)
    took_s = time.monotonic() - began
    over.set()
    slowest_s, makings = await served
    print(f"\n{done} keys in {took_s:.1f} s, {done / took_s:.0f} a second; {makings} keys made and opened meanwhile, "
          f"the slowest in {slowest_s * 1000:.0f} ms")  # fmt: skip
    assert await count_left(databases, new.kid) == 0
    assert took_s * MILLION / count < GOAL_S


async def _traffic(database: AsyncEngine, file: Path, over: asyncio.Event) -> tuple[float, int]:
    """Somebody new, again and again: their key is made, and what is sealed under it opens."""
    keys = DataKeys(database, SubjectKeys(database, RootKeys.read(file)))
    slowest_s, makings = 0.0, 0
    while not over.is_set():
        began = time.monotonic()
        sealed = (await keys.of_contact(uuid4())).seal(b"words", where="here")
        keys.forget_all()
        assert await keys.open(sealed, where="here") == b"words"
        slowest_s, makings = max(slowest_s, time.monotonic() - began), makings + 1
        await asyncio.sleep(0.05)
    return slowest_s, makings


async def _fill(database: AsyncEngine, roots: RootKeys, count: int) -> None:
    async with database.begin() as connection:
        root = await current_root(connection, roots)
        persons = [uuid4() for _ in range(count)]
        rows = [
            {"subject": each, "wrapped": root.seal(os.urandom(32), where=place(each)), "root_kid": root.kid}
            for each in persons
        ]
        await connection.execute(subject_key.insert(), rows)
