"""Hostile files through the real inspection, a process of its own: each is refused or marked as the table says, none
makes the process large, and whatever hangs in it is ended."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from messenger.app.files import Checked, fetch_checked
from messenger.app.inspection.inspector import Inspector
from messenger.app.outside_ports import ScannerAway
from messenger.channels.messages import MediaRef
from messenger.domain.attachment import MAX_BYTES, Mark, Refused
from tests.support.bad_files import BadFile, bad_files, honest_files, with_virus
from tests.support.file_makers import picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD = list(bad_files())
HONEST = list(honest_files())
RSS_LIMIT = 512_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """A file source that holds one file."""

    data: bytes

    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        return self.data


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inspector() -> AsyncIterator[Inspector]:
    inspector = Inspector(max_bytes=MAX_BYTES)
    yield inspector
    await inspector.close()


async def checked(inspector: Inspector, data: bytes, name: str, mime: str) -> Checked | Refused:
    return await fetch_checked(Given(data), MediaRef(id="x", mime=mime, filename=name), inspector=inspector)


def outcome(checked: Checked | Refused) -> str | frozenset[Mark]:
    return checked.code if isinstance(checked, Refused) else checked.marks


async def test_the_table_is_long_enough_and_nobody_gets_a_file_of_it_without_a_word() -> None:
    titles = [file.title for file in [*BAD, *with_virus()]]
    assert len(titles) >= 60 and len(set(titles)) == len(titles)
    assert all(file.becomes for file in BAD)


@pytest.mark.parametrize("file", BAD, ids=[file.title for file in BAD])
async def test_a_bad_file_is_refused_or_marked(inspector: Inspector, file: BadFile) -> None:
    assert outcome(await checked(inspector, file.data, file.name, file.mime)) == file.becomes
    assert largest_child() < RSS_LIMIT


@pytest.mark.parametrize(("name", "mime", "make"), HONEST, ids=[name for name, _, _ in HONEST])
async def test_an_honest_file_passes_unmarked_and_unchanged(inspector: Inspector, name, mime, make) -> None:  # type: ignore[no-untyped-def]
    data = make()
    passed = await checked(inspector, data, name, mime)
    assert isinstance(passed, Checked) and not passed.marks
    assert passed.file.data == data and passed.file.name == name


def largest_child() -> int:
    """The most that any process of the inspection has ever held in memory, in bytes."""
    children = [child for child in psutil.Process().children() if "messenger.app.inspection.child" in child.cmdline()]
    peaks = [Path(f"/proc/{child.pid}/status").read_text().split("VmHWM:")[1].split()[0] for child in children]
    return max((int(peak) * 1024 for peak in peaks), default=0)


async def test_an_inspection_that_hangs_is_ended_and_the_next_file_gets_a_new_one() -> None:
    hangs = Inspector(max_bytes=MAX_BYTES, seconds=0.2, command=[sys.executable, "-c", "import time; time.sleep(1000)"])
    assert outcome(await checked(hangs, picture("PNG"), "a.png", "image/png")) == "bomb"
    assert not [each for each in psutil.Process().children() if "import time; time.sleep(1000)" in each.cmdline()]
    assert outcome(await checked(hangs, picture("PNG"), "a.png", "image/png")) == "bomb"
    await hangs.close()


async def test_a_file_that_takes_long_gets_out_of_the_way_of_those_behind_it() -> None:
    hangs = Inspector(max_bytes=MAX_BYTES, command=[sys.executable, "-c", "import time; time.sleep(1000)"])
    ref = MediaRef(id="x", mime="image/png", filename="a.png")
    with pytest.raises(ScannerAway):
        await fetch_checked(Given(picture("PNG")), ref, inspector=hangs, patience_s=0.2)
    await hangs.close()


@pytest.mark.parametrize("program", ["pass", "print('no json')", "print('{}')", "raise SystemExit(3)"])
async def test_an_inspection_that_breaks_refuses_the_file(program: str) -> None:
    broken = Inspector(max_bytes=MAX_BYTES, command=[sys.executable, "-c", program])
    assert outcome(await checked(broken, picture("PNG"), "a.png", "image/png")) == "bomb"
    await broken.close()


async def test_the_inspection_knows_nothing_of_the_desks_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLWERK__DATABASE__URL", "postgresql://user:secret@host/name")
    inspector = Inspector(max_bytes=MAX_BYTES)
    assert isinstance(await checked(inspector, picture("PNG"), "a.png", "image/png"), Checked)
    children = [each for each in psutil.Process().children() if "messenger.app.inspection.child" in each.cmdline()]
    assert children and not any(child.environ() for child in children)
    await inspector.close()
