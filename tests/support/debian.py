"""Single files of Debian's packages, unpacked into `.tools`, where they can be had: nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.databases import one_at_a_time

TOOLS = Path(__file__).parents[2] / ".tools"
PATIENCE_S = 120


def file_of(package: str, pattern: str) -> Path | None:
    """The first file of the package whose path fits (`usr/bin/promtool`). None: it cannot be had here."""
    folder = TOOLS / package
    if not folder.exists() and os.geteuid() == 0 and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        with one_at_a_time(package):
            if not folder.exists():
                _unpack(package, pattern, folder)
    return next(folder.glob(pattern), None)


def _unpack(package: str, pattern: str, folder: Path) -> None:
    draft = folder.with_name(f"draft-{package}")
    draft.mkdir(parents=True, exist_ok=True)
    try:
        _run(draft, "apt-get", "download", package)
        (archive,) = draft.glob("*.deb")
        _run(draft, "dpkg-deb", "-x", archive.name, "all")
        wanted = next((draft / "all").glob(pattern))
        kept = folder / wanted.relative_to(draft / "all")
        kept.parent.mkdir(parents=True)
        wanted.replace(kept)
    except (subprocess.SubprocessError, OSError, ValueError, StopIteration):
        pass  # no such package here, or no way to it: whoever asks skips
    finally:
        shutil.rmtree(draft)


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
