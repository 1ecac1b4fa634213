"""The scanner's client against a clamd that misbehaves: only a plain OK is one, and a silence is paid for once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.app.outside_ports import ScannerAway
from messenger.cli.doctor.scanner import scanner as doctor
from messenger.config import Settings
from messenger.scanner import Clamd, Unscannable
from tests.support.fake_clamd import VIRUS, FakeClamd, Mood, fake_clamd
from tests.support.file_makers import eicar


@pytest.fixture
async def clamd(socket_folder: Path) -> AsyncIterator[FakeClamd]:
    async with fake_clamd(str(socket_folder / "clamd.sock")) as clamd:
        yield clamd


@pytest.fixture
def client(socket_folder: Path, clamd: FakeClamd) -> Clamd:
    return Clamd(str(socket_folder / "clamd.sock"), scan_s=0.3, peace_s=0)


async def test_what_is_found_is_named_and_what_is_clean_is_not(clamd: FakeClamd, client: Clamd) -> None:
    assert await client.scan(b"Guten Tag") == ""
    assert await client.scan(eicar()) == VIRUS
    assert await client.scan(bytes(3_000_000)) == ""
    assert clamd.scans == [9, 68, 3_000_000]
    assert (await client.version()).startswith("ClamAV")


@pytest.mark.parametrize("mood", ["silent", "deaf", "cut", "half", "garbage", "error", "binary", "endless"])
async def test_nothing_but_a_plain_answer_is_one(clamd: FakeClamd, client: Clamd, mood: Mood) -> None:
    clamd.mood = mood
    with pytest.raises(ScannerAway):
        await client.scan(eicar())
    assert client.is_away and not await client.is_back()
    clamd.mood = "well"
    assert await client.is_back() and not client.is_away
    assert await client.scan(eicar()) == VIRUS


async def test_a_file_above_its_limit_is_never_taken(clamd: FakeClamd, client: Clamd) -> None:
    clamd.mood = "small"
    with pytest.raises(Unscannable):
        await client.scan(bytes(5_000_000))
    assert not client.is_away


async def test_nobody_there_is_away_over_a_socket_and_over_a_line(socket_folder: Path) -> None:
    for address in (str(socket_folder / "none.sock"), "127.0.0.1:1", "[::1]:1"):
        with pytest.raises(ScannerAway):
            await Clamd(address).scan(b"x")


async def test_after_a_failure_it_is_left_in_peace(clamd: FakeClamd, socket_folder: Path) -> None:
    client = Clamd(str(socket_folder / "clamd.sock"), peace_s=1000)
    clamd.mood = "garbage"
    for _ in range(5):
        with pytest.raises(ScannerAway):
            await client.scan(b"x")
    assert clamd.calls == 1


async def test_who_has_less_patience_goes_on_without_calling_it_away(clamd: FakeClamd, socket_folder: Path) -> None:
    client = Clamd(str(socket_folder / "clamd.sock"))
    clamd.mood = "silent"
    with pytest.raises(ScannerAway):
        await client.scan(b"x", patience_s=0.05)
    assert not client.is_away


async def test_many_files_are_scanned_side_by_side(clamd: FakeClamd, client: Clamd) -> None:
    found = await asyncio.gather(*(client.scan(eicar() if n % 2 else b"clean") for n in range(20)))
    assert found == ["", VIRUS] * 10


def settings(tmp_path: Path, address: str) -> Settings:
    file = tmp_path / "stellwerk.toml"
    file.write_text(f'[matrix]\nhomeserver = "https://x"\n[scanner]\nclamd = "{address}"\n')
    file.chmod(0o600)
    return Settings.load(file)


@pytest.mark.parametrize(
    ("mood", "levels", "words"),
    [
        ("well", ["ok", "ok", "ok"], "takes files of 25 MB"),
        ("cut", ["fail"], "does not answer"),
    ],
)
async def test_doctor_tries_the_scanner(
    clamd: FakeClamd, tmp_path: Path, socket_folder: Path, mood: Mood, levels: list[str], words: str
) -> None:
    clamd.mood = mood
    findings = await doctor(settings(tmp_path, str(socket_folder / "clamd.sock")))
    assert [finding.level for finding in findings] == levels and words in findings[-1].words


async def test_doctor_says_where_there_is_no_scanner(tmp_path: Path) -> None:
    [finding] = await doctor(settings(tmp_path, ""))
    assert finding.level == "ok" and "not scanned" in finding.words


@pytest.mark.parametrize("address", ["clamd", "clamd:", ":3310", "host:99999", "host:x", "run/clamd.sock"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(Exception, match=r"scanner\.clamd"):
        settings(tmp_path, address)
