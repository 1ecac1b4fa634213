"""A second version of the program, in a folder of its own: what runs from there is other code than what runs the tests.

`next_code` copies ours and makes of it what an update is: another version, one migration more, and code that works with
what the migration adds. `code_of` takes an earlier revision out of the repository."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from shutil import copytree

import messenger
from messenger.demo.child import Child
from tests.support.next_version import NEXT, NextVersion

NEXT_VERSION = "99.0"
_OURS, _PARTS = Path(messenger.__file__).parents[1], ("messenger", "migrations", "bridges")
_DECISIONS = Path("messenger", "storage", "models", "conversations.py")
_LAST_COLUMN = '    Column("ids", JSONB, nullable=False),  # ids and codes, never text\n'
_NEW_COLUMN = f'    Column("next_empty", Text, default="{NEXT}"),\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCode:
    """`version` is what it calls itself: it stands in its own metadata, as if it were installed there."""

    folder: Path
    version: str

    @property
    def environment(self) -> Mapping[str, str]:
        """For an interpreter that runs it, whatever its working folder."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    async def run(self, *arguments: str) -> str:
        """Python with these arguments, to its end; returns what it printed."""
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        child = Child("the other code", [sys.executable, *arguments], log=said, env=self.environment)
        child.start()
        code = await child.wait()
        assert code == 0, f"ended with {code}: {said.read_text()}"
        return said.read_text()

    async def verb(self, settings_file: Path, *arguments: str) -> str:
        return await self.run("-m", "messenger.cli", "--config", str(settings_file), *arguments)


def next_code(folder: Path) -> OtherCode:
    """Its decisions bear its mark, in a column that our own code does not know."""
    for part in _PARTS:
        copytree(_OURS / part, folder / part)  # with the bytecode, which makes its first start a quick one
    NextVersion.write(folder / "migrations" / "versions")
    models = folder / _DECISIONS
    text = models.read_text()
    assert text.count(_LAST_COLUMN) == 1
    models.write_text(text.replace(_LAST_COLUMN, _LAST_COLUMN + _NEW_COLUMN))
    return _named(folder, NEXT_VERSION)


def code_of(revision: str, folder: Path) -> OtherCode:
    folder.mkdir(parents=True)
    archive = folder / "archive.tar"
    _git("archive", f"--output={archive}", revision, *_PARTS)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    return _named(folder, f"0+{_git('rev-parse', '--short', revision)}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_OURS, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _named(folder: Path, version: str) -> OtherCode:
    """Python finds the metadata of the folder before those of the environment."""
    metadata = folder / f"stellwerk-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: stellwerk\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(distribution("stellwerk").read_text("entry_points.txt") or "")
    return OtherCode(folder=folder, version=version)
