"""A new root key: everything opens before, meanwhile and after; the old one opens nothing in the end; whatever breaks
off is gone on with."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage import key_rotation
from messenger.storage.data_keys import DataKeys
from messenger.storage.encryption import BadRootKey, CannotOpen, Key, KeyDestroyed, read_root_key, write_root_key
from messenger.storage.installation import open_installation
from messenger.storage.key_rotation import Databases, RotationUnfinished, begin, count_left, finish, rewrap
from messenger.storage.models.subject_keys import root_key, subject_key
from messenger.storage.root_keys import RootKeyAway, RootKeys, next_file
from messenger.storage.subject_keys import SubjectKeys

DESK, PERSONS = "@desk:x", 25


@dataclass
class Place:
    """An installation with keys of some persons and of a desk, and what is sealed under them."""

    databases: Databases
    file: Path
    persons: list[UUID]
    sealed: dict[str, bytes]

    def process(self) -> DataKeys:
        """As a process that has just started."""
        return DataKeys(self.databases.main, SubjectKeys(self.databases.keys, RootKeys.read(self.file)))

    def only(self, key: Key) -> DataKeys:
        """A process with this root key and no other."""
        return DataKeys(self.databases.main, SubjectKeys(self.databases.keys, RootKeys(key)))

    def next_key(self) -> Key:
        if not next_file(self.file).exists():
            write_root_key(next_file(self.file))
        return read_root_key(next_file(self.file))

    async def rotate(self, new: Key) -> int:
        await begin(self.databases, new)
        done = await rewrap(self.databases, RootKeys.read(self.file), new)
        await finish(self.databases, new)
        return done

    async def is_all_readable(self, keys: DataKeys) -> bool:
        opened = {where: await keys.open(record, where=where) for where, record in self.sealed.items()}
        return all(text == where.encode() for where, text in opened.items())


@pytest.fixture
async def place(database: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(key_rotation, "BATCH", 10)
    file = tmp_path / "root.key"
    write_root_key(file)
    place = Place(Databases(main=database, keys=database), file, [uuid4() for _ in range(PERSONS)], {})
    keys = place.process()
    await open_installation(database, keys.subjects.roots)
    made = [await keys.of_contact(person) for person in place.persons] + [await keys.of_desk(DESK)]
    place.sealed = {str(key.kid): key.seal(str(key.kid).encode(), where=str(key.kid)) for key in made}
    return place


async def test_afterwards_the_new_key_opens_everything_and_the_old_one_nothing(place: Place) -> None:
    old, new = read_root_key(place.file), place.next_key()
    assert await place.rotate(new) == PERSONS + 1
    assert await place.is_all_readable(place.only(new))
    for where, record in place.sealed.items():
        with pytest.raises((CannotOpen, RootKeyAway)):
            await place.only(old).open(record, where=where)
    with pytest.raises(BadRootKey):
        await place.only(old).subjects.check_root()
    with pytest.raises(BadRootKey):
        await open_installation(place.databases.main, RootKeys(old))
    await place.only(new).subjects.check_root()


async def test_while_it_lasts_both_keys_are_needed(place: Place) -> None:
    old, new = read_root_key(place.file), place.next_key()
    await begin(place.databases, new)
    for one in (old, new):
        with pytest.raises(BadRootKey, match="both files"):
            await place.only(one).subjects.check_root()
    await place.process().subjects.check_root()


async def test_a_running_process_learns_of_the_new_key_by_itself(place: Place) -> None:
    running = place.process()
    new = place.next_key()
    await place.rotate(new)
    next_file(place.file).replace(place.file)
    running.forget_all()
    assert await place.is_all_readable(running)
    await running.of_contact(uuid4())
    assert await count_left(place.databases, new.kid) == 0, "what is new is under the new key"


async def test_a_process_without_the_new_file_waits_and_makes_no_key_under_the_old_one(place: Place) -> None:
    running = place.only(read_root_key(place.file))
    new = place.next_key()
    await begin(place.databases, new)
    with pytest.raises(RootKeyAway):
        await running.of_contact(uuid4())
    with pytest.raises(RootKeyAway):
        await running.of_desk("@other:x")
    assert await count_left(place.databases, new.kid) == PERSONS + 1


async def test_it_goes_on_where_it_broke_off(place: Place) -> None:
    new = place.next_key()
    await begin(place.databases, new)
    roots = RootKeys.read(place.file)

    def break_off(done: int) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await rewrap(place.databases, roots, new, tell=break_off)
    assert await count_left(place.databases, new.kid) == PERSONS + 1 - key_rotation.BATCH
    with pytest.raises(RotationUnfinished):
        await finish(place.databases, new)
    assert await place.is_all_readable(place.process()), "in the middle"
    assert await place.rotate(new) == PERSONS + 1 - key_rotation.BATCH
    assert await place.is_all_readable(place.only(new))


async def test_a_key_that_is_destroyed_meanwhile_stays_destroyed(place: Place) -> None:
    new = place.next_key()
    await begin(place.databases, new)
    rows = await _rows(place, after=0)
    last = rows[-1].subject
    await place.process().subjects.destroy(last)
    changed = key_rotation._changed(rows, RootKeys.read(place.file), new, key_rotation._subject_place)
    async with place.databases.keys.begin() as connection:
        await connection.execute(key_rotation._REPLACE_SUBJECTS, {**changed, "new": new.kid})
    with pytest.raises(KeyDestroyed):
        await place.process().subjects.find(last, rows[-1].kid)


async def _rows(place: Place, *, after: int) -> list[sa.Row[tuple[int, UUID, bytes]]]:
    async with place.databases.keys.begin() as connection:
        query = sa.select(subject_key.c.kid, subject_key.c.subject, subject_key.c.wrapped)
        return list(await connection.execute(query.where(subject_key.c.kid > after).order_by(subject_key.c.kid)))


async def test_under_traffic_nothing_fails_and_nothing_stays_behind(place: Place) -> None:
    new, over = place.next_key(), asyncio.Event()
    made: list[tuple[Key, UUID]] = []

    async def others() -> None:
        running = place.process()
        while not over.is_set() or len(made) < 3 * PERSONS:
            person = uuid4()
            made.append((await running.of_contact(person), person))
            running.forget_all()
            assert await place.is_all_readable(running)

    async def rotate() -> None:
        while len(made) < 5:
            await asyncio.sleep(0)
        await place.rotate(new)
        over.set()

    await asyncio.gather(rotate(), *(others() for _ in range(3)))
    assert await count_left(place.databases, new.kid) == 0
    alone = place.only(new)
    assert [await alone.of_contact(person) for _, person in made] == [key for key, _ in made]


async def test_two_rotations_after_each_other(place: Place) -> None:
    for _ in range(2):
        await place.rotate(place.next_key())
        next_file(place.file).replace(place.file)
    assert await place.is_all_readable(place.process())
    async with place.databases.keys.begin() as connection:
        states = await connection.scalars(sa.select(root_key.c.state).order_by(root_key.c.made_at))
        assert list(states) == ["retired", "retired", "current"]
