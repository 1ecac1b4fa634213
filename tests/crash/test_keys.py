"""Keys through kills: whoever dies while making, wrapping, re-wrapping or destroying keys leaves nothing that cannot be
opened, and nothing that can be opened although it was destroyed."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.data_keys import DataKeys
from messenger.storage.database import connect
from messenger.storage.encryption import KeyDestroyed, read_root_key, write_root_key
from messenger.storage.installation import open_installation
from messenger.storage.key_rotation import BATCH
from messenger.storage.models.subject_keys import subject_key
from messenger.storage.root_keys import RootKeys, next_file
from messenger.storage.subject_keys import SubjectKeys, current_root
from messenger.storage.subject_keys import place as subject_place
from tests.support.databases import create_schema, key_database_of, make_database
from tests.support.warm import WarmChild

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("five_times")]


@dataclass
class Vault:
    folder: Path
    main: AsyncEngine
    keys: AsyncEngine

    def process(self) -> DataKeys:
        return DataKeys(self.main, SubjectKeys(self.keys, RootKeys.read(self.folder / "root.key")))

    async def run(self, module: str, *arguments: str, dies_at: str = "") -> None:
        environment = {"STELLWERK_FAILPOINT": dies_at} if dies_at else {}
        log = self.folder / "child.log"
        child = WarmChild("keys", [sys.executable, "-m", module, *arguments], log=log, env=environment)
        child.start()
        assert await child.wait() == (-signal.SIGKILL if dies_at else 0), log.read_text()

    async def rotate(self, *, dies_at: str = "") -> None:
        settings = str(self.folder / "stellwerk.toml")
        await self.run("messenger.cli", "--config", settings, "keys", "rotate", dies_at=dies_at)

    async def step(self, person: UUID, what: str, *, dies_at: str = "") -> None:
        settings = str(self.folder / "stellwerk.toml")
        await self.run("tests.crash.key_steps", settings, str(person), what, dies_at=dies_at)

    async def fill(self, count: int) -> None:
        roots = RootKeys.read(self.folder / "root.key")
        async with self.keys.begin() as connection:
            root = await current_root(connection, roots)
            persons = [uuid4() for _ in range(count)]
            rows = [
                {"subject": each, "wrapped": root.seal(os.urandom(32), where=subject_place(each)), "root_kid": root.kid}
                for each in persons
            ]
            await connection.execute(subject_key.insert(), rows)


@pytest.fixture
async def vault(tmp_path: Path, database_url: str) -> Vault:
    await make_database(key_database_of(database_url))
    await create_schema(key_database_of(database_url))
    write_root_key(tmp_path / "root.key")
    (tmp_path / "stellwerk.toml").write_text(
        f'[database]\nurl = "{database_url}"\n[key_database]\nurl = "{key_database_of(database_url)}"\n'
        '[matrix]\nhomeserver = "http://127.0.0.1:1"\n[[matrix.desks]]\nuser_id = "@desk:x"\n'
    )
    vault = Vault(tmp_path, connect(database_url), connect(key_database_of(database_url)))
    await open_installation(vault.main, vault.process().subjects.roots)
    return vault


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(("rewrap_batch:1", "rotation_ended:1"), id="two steps"),
        pytest.param(
            ("rotation_begun:1", "rewrap_batch:1", "rewrap_batch:2", "rotation_ended:1"),
            id="all steps",
            marks=pytest.mark.long,
        ),
    ],
)
async def test_a_rotation_survives_a_kill_at_each_of_its_steps(vault: Vault, points: Sequence[str]) -> None:
    keys, person = vault.process(), uuid4()
    sealed = (await keys.of_contact(person)).seal(b"words", where="here")
    login = (await keys.of_desk("@desk:x")).seal(b"token", where="desk")
    await vault.fill(2 * BATCH)
    old = read_root_key(vault.folder / "root.key")
    for point in points:
        await vault.rotate(dies_at=point)
        again = vault.process()
        assert (await again.open(sealed, where="here"), await again.open(login, where="desk")) == (b"words", b"token")
        await again.of_contact(uuid4())
    await vault.rotate()
    assert not next_file(vault.folder / "root.key").exists()
    assert read_root_key(vault.folder / "root.key").kid != old.kid
    async with vault.keys.begin() as connection:
        under = await connection.scalars(sa.select(subject_key.c.root_kid).distinct())
        assert list(under) == [read_root_key(vault.folder / "root.key").kid]
    assert await vault.process().open(sealed, where="here") == b"words"


@pytest.mark.parametrize("point", ["sk_created:1", "dek_wrapped:1"])
async def test_a_key_that_was_made_before_a_kill_is_the_one_that_is_used_after_it(vault: Vault, point: str) -> None:
    person = uuid4()
    await vault.step(person, "make", dies_at=point)
    sealed = (await vault.process().of_contact(person)).seal(b"words", where="here")
    assert await vault.process().open(sealed, where="here") == b"words"
    assert await _keys_of(vault, person) == 1


async def test_a_key_whose_destruction_was_committed_before_a_kill_stays_destroyed(vault: Vault) -> None:
    person = uuid4()
    sealed = (await vault.process().of_contact(person)).seal(b"words", where="here")
    await vault.step(person, "erase", dies_at="sk_destroyed:1")
    with pytest.raises(KeyDestroyed):
        await vault.process().open(sealed, where="here")
    await vault.step(person, "erase")


async def _keys_of(vault: Vault, person: UUID) -> int:
    async with vault.keys.begin() as connection:
        query = sa.select(sa.func.count()).where(subject_key.c.subject == person)
        return await connection.scalar(query) or 0
