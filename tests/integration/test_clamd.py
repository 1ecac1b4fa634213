"""The real ClamAV: it finds the test virus wherever it hides in what we take, and honest files are clean."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from messenger.app.files import Checked, fetch_checked
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import ScannerAway
from messenger.channels.messages import MediaRef
from messenger.cli.doctor.scanner import scanner as doctor
from messenger.config import Settings
from messenger.domain.attachment import MAX_BYTES, Refused
from messenger.scanner import Clamd, Unscannable
from tests.support.bad_files import BadFile, bad_files, honest_files, with_virus
from tests.support.clamd import SIGNATURE, STREAM_MAX_MB, RealClamd
from tests.support.file_makers import eicar
from tests.unit.test_bad_files import Given

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFECTED = list(with_virus())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clamd() -> AsyncIterator[RealClamd]:
    server = RealClamd()
    await server.start()
    yield server
    server.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspector() -> AsyncIterator[Inspector]:
    inspector = Inspector(max_bytes=MAX_BYTES)
    yield inspector
    await inspector.close()


@pytest.fixture
def scanner(clamd: RealClamd) -> Clamd:
    return Clamd(clamd.socket, peace_s=0)


async def checked(scanner: Clamd, inspector: Inspector, data: bytes, name: str, mime: str) -> Checked | Refused:
    ref = MediaRef(id="x", mime=mime, filename=name)
    return await fetch_checked(Given(data), ref, inspector=inspector, scanner=scanner)


@pytest.mark.parametrize("file", INFECTED, ids=[file.title for file in INFECTED])
async def test_the_test_virus_is_found_wherever_it_hides(scanner: Clamd, inspector: Inspector, file: BadFile) -> None:
    found = await checked(scanner, inspector, file.data, file.name, file.mime)
    assert found == Refused("virus", f"{SIGNATURE}.UNOFFICIAL")


@pytest.mark.long  # without the scanner, each of them is in the default run
async def test_no_bad_file_passes_without_a_word_and_the_scanner_survives_them(
    scanner: Clamd, inspector: Inspector
) -> None:
    for file in bad_files():
        found = await checked(scanner, inspector, file.data, file.name, file.mime)
        assert isinstance(found, Refused) or found.marks, file.title
    assert await scanner.scan(eicar())


async def test_honest_files_are_clean(scanner: Clamd, inspector: Inspector) -> None:
    for name, mime, make in honest_files():
        passed = await checked(scanner, inspector, make(), name, mime)
        assert isinstance(passed, Checked) and passed.is_scanned and not passed.marks, name


async def test_a_file_above_its_limit_is_not_taken(scanner: Clamd) -> None:
    with pytest.raises(Unscannable):
        await scanner.scan(bytes((STREAM_MAX_MB + 4) * 1_048_576))
    assert not scanner.is_away and await scanner.scan(eicar())


async def test_doctor_finds_it_in_order_and_says_what_it_does_not_take(clamd: RealClamd, tmp_path: Path) -> None:
    file = tmp_path / "stellwerk.toml"
    file.write_text(f'[matrix]\nhomeserver = "https://x"\n[scanner]\nclamd = "{clamd.socket}"\n')
    findings = await doctor(Settings.load(file))
    assert [finding.level for finding in findings] == ["ok", "ok", "ok"]
    assert "ClamAV" in findings[0].words and "test virus is found" in findings[1].words
    large = Settings.load(file, overrides={"limits": {"attachment_max_mb": 40}})
    assert (await doctor(large))[-1].level == "warn"


async def test_a_scanner_that_was_killed_is_away_until_it_is_started_again(clamd: RealClamd, scanner: Clamd) -> None:
    clamd.kill()
    with pytest.raises(ScannerAway):
        await scanner.scan(b"x")
    assert not await scanner.is_back()
    await clamd.start()
    assert await scanner.is_back() and await scanner.scan(eicar())
