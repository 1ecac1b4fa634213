"""What a set of a backup is, and which ones are refused, before anything is touched."""

import asyncio
import json
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from typer.testing import Result

from messenger.bootstrap.erasures import ledger
from messenger.cli.doctor import database
from messenger.config import Settings
from messenger.observability.time import utc_now
from messenger.storage.continuous import SLOT
from messenger.storage.database import connect
from messenger.storage.encryption import write_root_key
from messenger.storage.models.disaster import backup_set
from tests.support.databases import TestDatabases
from tests.support.verbs import run_verb

Run = Callable[..., Result]


class Place:
    """A folder with settings, and databases that come and go."""

    def __init__(self, databases: TestDatabases, folder: Path) -> None:
        self._databases, self.folder, self.made = databases, folder, list[str]()

    def settle(self) -> None:
        """An installation that names fresh, empty databases."""
        options = ["--homeserver", "http://127.0.0.1:1", "--user-id", "@desk:example.org", "--password-file", "pw"]
        (self.folder / "pw").write_text("hunter2")
        main, keys = self._fresh(), self._fresh()
        done = self("init", *options, "--database-url", main, "--key-database-url", keys)
        assert done.exit_code == 0, done.output

    def move(self, *, keys_too: bool = False) -> None:
        """To a fresh database."""
        file = self.folder / "stellwerk.toml"
        text = file.read_text().replace(self.main, self._fresh())
        file.write_text(text.replace(self.keys, self._fresh()) if keys_too else text)

    @property
    def settings(self) -> Settings:
        return Settings.load(self.folder / "stellwerk.toml")

    @property
    def main(self) -> str:
        return self.settings.database.address()

    @property
    def keys(self) -> str:
        return self.settings.key_database.address()

    def __call__(self, *arguments: str) -> Result:
        return run_verb(*arguments)

    def _fresh(self) -> str:
        self.made.append(asyncio.run(self._databases.fresh(empty=True)))
        return self._databases.server.uri(self.made[-1])


@pytest.fixture
def place(test_databases: TestDatabases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    found = Place(test_databases, tmp_path)
    found.settle()
    yield found
    for name in found.made:
        asyncio.run(test_databases.server.drop_database(name))


def _erase(place: Place, subject: str) -> None:
    ledger(place.settings).add(subject, "person", utc_now())


def _with_a_set(place: Place) -> Path:
    place("migrate", "up")
    _erase(place, "first")
    assert place("group", "add", "General", "--default").exit_code == 0
    assert place("agent", "add", "@anna:example.org", "Anna Krüger").exit_code == 0
    done = place("backup", "set")
    assert done.exit_code == 0, done.output
    return place.folder / "set"


def test_a_set_is_private_whole_and_comes_back_as_it_was(place: Place) -> None:
    folder = _with_a_set(place)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    manifest = json.loads(place("backup", "verify", "set", "--json").stdout)
    assert manifest["counts"]["skill_group"] == manifest["counts"]["staff"] == 1
    groups = place("group", "list", "--json").stdout
    ledger_file, key_file = place.settings.erasure_ledger_file(), place.settings.signing_key_file()
    ledger_then = ledger_file.read_bytes()
    _erase(place, "second")
    key = key_file.read_bytes()

    place.move()
    ledger_file.unlink()
    key_file.unlink()
    done = place("restore", "set")
    assert done.exit_code == 0 and "recover-desk" in done.output, done.output
    assert "ledger has 1 entry" in done.output
    assert (ledger_file.read_bytes(), key_file.read_bytes()) == (ledger_then, key)
    assert place("group", "list", "--json").stdout == groups
    assert place("migrate", "status").exit_code == 0
    newest = json.loads(place("audit", "list", "--json", "--limit", "1").stdout)
    assert [row["action"] for row in newest] == ["backup.restore"]


def test_a_second_backup_into_the_same_folder_is_refused(place: Place) -> None:
    _with_a_set(place)
    again = place("backup", "set")
    assert again.exit_code == 1 and "folder of its own" in again.output
    assert place("backup", "verify", "set").exit_code == 0


def test_a_backup_needs_the_root_key_of_its_database(place: Place) -> None:
    _with_a_set(place)
    (place.folder / "root.key").unlink()
    write_root_key(place.folder / "root.key")
    done = place("backup", "other")
    assert done.exit_code == 1 and "bring that key back" in done.output
    assert not (place.folder / "other").exists()


def _flipped(folder: Path) -> None:
    content = bytearray((folder / "main.dump").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "main.dump").write_bytes(content)


def _cut(folder: Path) -> None:
    (folder / "main.dump").write_bytes((folder / "main.dump").read_bytes()[:-1])


def _recounted(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"staff": 1', '"staff": 2'))


def _of_another_house(folder: Path) -> None:
    (folder.parent / "root.key").unlink()
    write_root_key(folder.parent / "root.key")


SPOILERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped": (_flipped, "was changed or cut"),
    "cut": (_cut, "was changed or cut"),
    "without a file": (lambda folder: (folder / "main.dump").unlink(), "is missing"),
    "without a manifest": (lambda folder: (folder / "manifest.json").unlink(), "never ended"),
    "with other numbers": (_recounted, "was changed after the backup"),
    "no JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "is damaged"),
    "of another house": (_of_another_house, "another root key"),
}


def test_a_damaged_incomplete_or_foreign_set_is_refused_and_nothing_is_touched(place: Place) -> None:
    folder = _with_a_set(place)
    place.move()
    shutil.copytree(folder, place.folder / "kept")
    shutil.copy(place.folder / "root.key", place.folder / "kept.key")
    for spoil, words in SPOILERS.values():
        spoil(folder)
        for refused in (place("backup", "verify", "set"), place("restore", "set")):
            assert refused.exit_code == 1 and words in refused.output, refused.output
        shutil.rmtree(folder)
        shutil.copytree(place.folder / "kept", folder)
        (place.folder / "root.key").unlink()
        shutil.copy(place.folder / "kept.key", place.folder / "root.key")
    assert place("restore", "set").exit_code == 0, "the database is still empty, the whole set is taken"


def test_a_restore_never_overwrites_data(place: Place) -> None:
    _with_a_set(place)
    for options in ([], ["--replace-empty"]):
        refused = place("restore", "set", *options)
        assert refused.exit_code == 1 and "never overwrites" in refused.output

    place.move()
    place("migrate", "up")
    refused = place("restore", "set")
    assert refused.exit_code == 1 and "--replace-empty" in refused.output
    assert place("restore", "set", "--replace-empty").exit_code == 0
    assert "Anna Krüger" in place("agent", "list").output


def test_the_keys_of_persons_are_in_a_set_of_their_own(place: Place) -> None:
    _with_a_set(place)
    assert place("backup", "--keys", "keys").exit_code == 0
    assert json.loads(place("backup", "verify", "keys", "--json").stdout)["counts"]["subject_key"] >= 1
    assert place("restore", "keys").exit_code == 1, "a key set is no main set"
    agents = place("agent", "list", "--json").stdout

    place.move(keys_too=True)
    refused = place("restore", "set")
    assert refused.exit_code == 1 and "name its set, --keys" in refused.output
    assert place("restore", "set", "--keys", "set").exit_code == 1, "a main set is no key set"
    done = place("restore", "set", "--keys", "keys")
    assert done.exit_code == 0, done.output
    assert place("agent", "list", "--json").stdout == agents


def test_a_drill_restores_beside_the_installation_and_touches_nothing_of_it(place: Place) -> None:
    folder = _with_a_set(place)
    place("backup", "--keys", "keys")
    before = place("agent", "list", "--json").stdout
    done = json.loads(place("drill", "set", "--keys", "keys", "--json").stdout)
    assert (done["opened"], done["unreadable"]) == (0, 0) and set(done["seconds"]) == {
        "verify",
        "restore",
        "open",
        "all",
    }
    assert place("agent", "list", "--json").stdout == before
    _flipped(folder)
    refused = place("drill", "set", "--keys", "keys")
    assert refused.exit_code == 1 and "was changed or cut" in refused.output


def test_doctor_asks_for_a_backup_that_is_missing_or_old(place: Place) -> None:
    place("migrate", "up")
    assert _said_of_backups(place) == [
        "warn backup: there has never been one. Daily: stellwerk backup DIR",
        "warn backup of the keys: there has never been one. Daily: stellwerk backup --keys DIR",
    ]
    place("backup", "set", "--keys", "keys")
    main, keys = _said_of_backups(place)
    assert main.startswith("ok backup: the last one is of") and main.endswith(", just now")
    assert keys.startswith("ok backup of the keys: the last one is of")
    _age_backups(place, "main", hours=27)
    _age_backups(place, "keys", hours=72)
    main, keys = _said_of_backups(place)
    assert main.startswith("warn backup:") and "27 hours ago. Make one now: stellwerk backup DIR" in main
    assert keys.startswith("warn backup of the keys:") and "3 days ago. Make one now" in keys


def test_doctor_says_when_the_keys_are_older_than_what_they_must_open(place: Place) -> None:
    place("migrate", "up")
    place("backup", "set", "--keys", "keys")
    _age_backups(place, "keys", hours=3)
    _, keys = _said_of_backups(place)
    assert keys.startswith("warn") and "before the last one of the main database" in keys


def test_doctor_knows_a_stream_that_runs_and_one_that_stands_still(place: Place) -> None:
    place("migrate", "up")
    _change(place, backup_set.insert().values(id=uuid4(), kind="continuous", bytes=1))
    assert len(_said_of_backups(place)) == 2, "of another server: it keeps no log for it"
    _change(place, sa.text(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)"))
    try:
        [stream] = _said_of_backups(place)
        assert stream.startswith("ok continuous backup: runs"), "and there need be no set"
        _age_backups(place, "continuous", hours=2)
        *sets, stream = _said_of_backups(place)
        assert len(sets) == 2 and stream.startswith("warn continuous backup: stands still")
        assert "2 hours ago. Start it" in stream
    finally:
        _change(place, sa.text(f"SELECT pg_drop_replication_slot('{SLOT}')"))


def test_what_comes_back_knows_the_sets_it_came_from_and_no_stream(place: Place) -> None:
    place("migrate", "up")
    _change(place, backup_set.insert().values(id=uuid4(), kind="continuous", bytes=1))
    place("backup", "set", "--keys", "keys")
    before = _said_of_backups(place)
    place.move(keys_too=True)
    done = place("restore", "set", "--keys", "keys")
    assert done.exit_code == 0, done.output
    assert _said_of_backups(place) == before
    assert [finding.split()[0] for finding in before] == ["ok", "ok"]


def _said_of_backups(place: Place) -> list[str]:
    findings = asyncio.run(database.backup(place.settings))
    return [f"{finding.level} {finding.check}: {finding.words}" for finding in findings]


def _age_backups(place: Place, kind: str, *, hours: int) -> None:
    made_at = sa.func.now() - timedelta(hours=hours)
    _change(place, backup_set.update().where(backup_set.c.kind == kind).values(made_at=made_at))


def _change(place: Place, statement: sa.Executable) -> None:
    async def change() -> None:
        engine = connect(place.main)
        async with engine.begin() as connection:
            await connection.execute(statement)
        await engine.dispose()

    asyncio.run(change())
