"""Programs of Debian's packages, where we may have them: installed, or a single file unpacked into `.tools`."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.databases import one_at_a_time

TOOLS = Path(__file__).parents[2] / ".tools"
PATIENCE_S = 300
_PLACES = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")


def program_of(package: str, *names: str) -> str | None:
    """Where the first of these programs is, installed with the package if there was none. None: it cannot be had."""
    if (found := _which(names)) is None and _may_ask_apt():
        with one_at_a_time("apt"), suppress(subprocess.SubprocessError, OSError):
            if _which(names) is None:
                _apt(Path("/"), "install", "--yes", "--no-install-recommends", package)
        found = _which(names)
    return found


def _which(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name, path=_PLACES))), None)


def _may_ask_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def file_of(package: str, pattern: str) -> Path | None:
    """The first file of the package whose path fits (`usr/bin/promtool`). None: it cannot be had here."""
    folder = TOOLS / package
    if not folder.exists() and _may_ask_apt() and shutil.which("dpkg-deb"):
        with one_at_a_time(package):
            if not folder.exists():
                _unpack(package, pattern, folder)
    return next(folder.glob(pattern), None)


def _unpack(package: str, pattern: str, folder: Path) -> None:
    draft = folder.with_name(f"draft-{package}")
    draft.mkdir(parents=True, exist_ok=True)
    try:
        _apt(draft, "download", package)
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


def _apt(folder: Path, *what: str) -> None:
    """A machine that was just made has no lists of packages, or old ones: then they are fetched. Raises
    SubprocessError."""
    try:
        _run(folder, "apt-get", *what)
    except subprocess.CalledProcessError:
        _run(folder, "apt-get", "update")
        _run(folder, "apt-get", *what)


def _run(folder: Path, *command: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, cwd=folder, env=quiet, check=True, capture_output=True, timeout=PATIENCE_S)
