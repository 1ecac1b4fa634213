"""The erasure ledger and the signing key in the sets of a backup: what a restore makes of several ledgers."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messenger.bootstrap.backup_ledger import bring_ledger_back, ledger_after, pack_ledger
from messenger.bootstrap.erasures import ledger
from messenger.cli.doctor.local import erasure_ledger
from messenger.config import Settings
from messenger.storage.backup_companions import LEDGER
from messenger.storage.backup_set import BadSet
from messenger.storage.encryption import write_root_key
from messenger.storage.erasure_ledger import LedgerDamaged
from messenger.storage.root_keys import RootKeys

AT = datetime(2026, 11, 26, tzinfo=UTC)


class House:
    """Files alone: no database is needed to decide between ledgers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "stellwerk.toml").write_text(
            f'[matrix]\nhomeserver = "http://127.0.0.1:1"\n[server]\ndata_dir = "{folder / "var"}"\n'
            f'[security]\nroot_key_file = "{folder / "root.key"}"\n'
            f'[privacy]\nerasure_ledger_copy_file = "{folder / "elsewhere" / "ledger"}"\n'
        )
        write_root_key(folder / "root.key")
        self.settings = Settings.load(folder / "stellwerk.toml")
        self.file, self.key = self.settings.erasure_ledger_file(), self.settings.signing_key_file()
        self.second = folder / "elsewhere" / "ledger"

    def erase(self, *subjects: str) -> None:
        for subject in subjects:
            ledger(self.settings).add(subject, "person", AT)

    def back_up(self, name: str = "set") -> Path:
        folder = self.folder / name
        folder.mkdir()
        pack_ledger(self.settings, folder, RootKeys.read(self.settings.security.root_key_file).first)
        return folder

    def lose(self, *files: Path) -> None:
        for each in files:
            each.unlink()

    def restore(self, *sets: Path) -> list[str]:
        bring_ledger_back(self.settings, ledger_after(self.settings, sets))
        return [entry.subject for entry in ledger(self.settings).entries()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "house")


def test_both_come_back_with_a_set_in_which_the_key_is_sealed(house: House) -> None:
    house.erase("first")
    folder, secret = house.back_up(), house.key.read_text().strip()
    kept = b"".join(each.read_bytes() for each in folder.iterdir())
    assert secret.encode() not in kept and bytes.fromhex(secret) not in kept
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
    house.lose(house.file, house.second, house.key)
    assert house.restore(folder) == ["first"]
    assert house.key.read_text().strip() == secret and stat.S_IMODE(house.key.stat().st_mode) == 0o400


def test_a_restore_never_makes_the_ledger_shorter(house: House) -> None:
    house.erase("first")
    folder = house.back_up()
    house.erase("second")
    house.lose(house.second)
    assert house.restore(folder) == ["first", "second"]


def test_an_erasure_between_the_choice_and_the_writing_is_kept(house: House) -> None:
    house.erase("first")
    chosen = ledger_after(house.settings, [house.back_up()])
    house.erase("second")
    bring_ledger_back(house.settings, chosen)
    assert len(ledger(house.settings).entries()) == 2


@pytest.mark.parametrize("where", ["second place", "younger set"])
def test_the_longest_ledger_is_taken_wherever_it_is(house: House, where: str) -> None:
    house.erase("first")
    older = house.back_up("older")
    house.erase("second")
    younger = house.back_up("younger")
    house.lose(house.file, *([] if where == "second place" else [house.second]))
    assert house.restore(older, *([younger] if where == "younger set" else [])) == ["first", "second"]
    assert house.second.read_bytes() == house.file.read_bytes(), "the second place is filled again"


def test_two_ledgers_that_contradict_each_other_are_refused(house: House) -> None:
    house.erase("first", "second")
    folder = house.back_up()
    house.lose(house.file, house.second)
    house.erase("somebody else")
    before = house.file.read_bytes()
    with pytest.raises(LedgerDamaged, match="contradict"):
        house.restore(folder)
    assert house.file.read_bytes() == before


def test_another_houses_signing_key_is_not_overwritten(house: House) -> None:
    house.erase("first")
    folder = house.back_up()
    house.lose(house.file, house.second, house.key)
    house.erase("of another house")
    with pytest.raises(BadSet, match="is not the signing key"):
        house.restore(folder)


def test_a_ledger_in_a_set_that_was_changed_is_refused(house: House) -> None:
    house.erase("first")
    folder = house.back_up()
    (folder / LEDGER).write_text((folder / LEDGER).read_text().replace("first", "other"))
    with pytest.raises(LedgerDamaged):
        house.restore(folder)


def test_a_set_of_an_earlier_program_leaves_the_ledger_as_it_is(house: House) -> None:
    (house.folder / "old").mkdir()
    assert ledger_after(house.settings, [house.folder / "old"]) is None
    house.erase("first")
    assert house.restore(house.folder / "old") == ["first"]


async def test_an_erasure_goes_on_while_its_second_place_is_away_and_doctor_says_so(house: House) -> None:
    (house.folder / "elsewhere").touch()
    house.erase("first")
    [finding] = await erasure_ledger(house.settings)
    assert finding.level == "warn" and "1 of 1" in finding.words
    (house.folder / "elsewhere").unlink()
    house.erase("second")
    assert house.second.read_bytes() == house.file.read_bytes()
    [finding] = await erasure_ledger(house.settings)
    assert finding.level == "ok"
    house.file.write_text("")
    [finding] = await erasure_ledger(house.settings)
    assert finding.level == "fail" and "longer" in finding.words
