"""ClamAV's real daemon, with one signature of our own (the test virus), its own folder and socket, and no network."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from messenger.scanner import Clamd
from tests.support.absent import absent
from tests.support.debian import program_of
from tests.support.file_makers import eicar
from tests.support.waiting import eventually

SIGNATURE = "Stellwerk.Test.EICAR"
STREAM_MAX_MB = 26
ABSENT = "clamd is not installed: apt-get install clamav-daemon"


class RealClamd:
    def __init__(self) -> None:
        self._program = program_of("clamav-daemon", "clamd") or absent(ABSENT)
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
