"""ClamAV's real daemon, with one signature of our own (the test virus), its own folder and socket, and no network."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from messenger.scanner import Clamd
from tests.support.databases import one_at_a_time
from tests.support.file_makers import eicar
from tests.support.waiting import eventually

SIGNATURE = "Stellwerk.Test.EICAR"
STREAM_MAX_MB = 26
_PLACES = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")


def program() -> str:
    """Where clamd is. Installed once where we may do that; else the test is skipped, but never in CI."""
    if (found := shutil.which("clamd", path=_PLACES)) is None:
        _install()
        found = shutil.which("clamd", path=_PLACES)
    if found is None:
        complain = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        complain("clamd is not installed: apt-get install clamav-daemon")
    return found


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    with one_at_a_time("apt"):
        if shutil.which("clamd", path=_PLACES) is None:
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            command = ["apt-get", "install", "--yes", "--no-install-recommends", "clamav-daemon"]
            subprocess.run(command, env=quiet, capture_output=True, timeout=300, check=False)


class RealClamd:
    def __init__(self) -> None:
        self._program = program()
        self.folder = Path(tempfile.mkdtemp(prefix="clamd-", dir="/tmp"))  # a socket's path must be short
        self.socket = str(self.folder / "clamd.sock")
        self._config = self.folder / "clamd.conf"
        self._process: subprocess.Popen[bytes] | None = None
        database = self.folder / "db"
        database.mkdir()
        (database / "test.ndb").write_text(f"{SIGNATURE}:0:*:{eicar().hex()}\n")
        lines = {
            "DatabaseDirectory": database,
            "LocalSocket": self.socket,
            "TemporaryDirectory": self.folder,
            "Foreground": "yes",
            "StreamMaxLength": f"{STREAM_MAX_MB}M",
            "MaxThreads": 2,
        }
        self._config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    async def start(self) -> None:
        assert self._process is None
        Path(self.socket).unlink(missing_ok=True)
        with (self.folder / "clamd.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "--config-file", self._config], stdout=log, stderr=log)
        await eventually(Clamd(self.socket, peace_s=0).is_back, what="clamd answers")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
