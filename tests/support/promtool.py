"""Prometheus' own judge of alert rules, from Debian where it can be had. Only that one program is unpacked, into
`.tools`."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.databases import one_at_a_time

TOOLS = Path(__file__).parents[2] / ".tools" / "prometheus"
PATIENCE_S = 120


def promtool() -> str | None:
    """Where it is; None: it is not here and cannot be had."""
    if found := shutil.which("promtool"):
        return found
    program = TOOLS / "usr" / "bin" / "promtool"
    if not program.exists() and os.geteuid() == 0 and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        with one_at_a_time("promtool"):
            if not program.exists():
                _unpack()
    return str(program) if program.exists() else None


def _unpack() -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    try:
        _run("apt-get", "download", "prometheus")
        (package,) = TOOLS.glob("prometheus_*.deb")
        _run("dpkg-deb", "-x", package.name, "all")
        (TOOLS / "usr" / "bin").mkdir(parents=True, exist_ok=True)
        (TOOLS / "all" / "usr" / "bin" / "promtool").replace(TOOLS / "usr" / "bin" / "promtool")
    except (subprocess.SubprocessError, OSError, ValueError):
        pass  # no such package here, or no way to it: whoever asks skips
    finally:
        shutil.rmtree(TOOLS / "all", ignore_errors=True)
        for package in TOOLS.glob("*.deb"):
            package.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, cwd=TOOLS, check=True, capture_output=True, timeout=PATIENCE_S)
