"""The unit for systemd: what it promises is what the program does, and systemd itself finds nothing wrong with it."""

import configparser
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from messenger.bootstrap.desk_process import DRAIN_S, LAST_CHECKPOINT_S
from messenger.config.secret_files import wrong_with
from messenger.observability.health import LONGEST_LAG_S, TICK_S

UNIT = Path(__file__).parents[2] / "docs" / "operations" / "stellwerk.service"
ANALYZE = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")


def service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return dict(parser["Service"])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    file = tmp_path / "stellwerk.service"
    file.write_text(UNIT.read_text().replace("/opt/stellwerk/bin/stellwerk", sys.executable))
    return file


def test_it_waits_as_long_as_the_program_may_take() -> None:
    options = service()
    assert DRAIN_S <= 20, "who is told to stop has ended by then"
    assert float(options["TimeoutStopSec"]) >= DRAIN_S + LAST_CHECKPOINT_S + 5
    assert float(options["WatchdogSec"]) >= max(2 * TICK_S, LONGEST_LAG_S), "who is late is not yet dead"
    assert (options["Type"], options["Restart"], options["TimeoutStartSec"]) == ("notify", "always", "infinity")
    assert options["KillMode"] == "mixed", "the embedded database ends after the program"


def test_who_is_told_twice_to_stop_ends_at_once() -> None:
    """The first word has set `stop`; what is on its way is taken up by the next process."""
    program = (
        "import asyncio, signal; from messenger.cli.serve import _stop_or_end; stop = asyncio.Event();"
        "_stop_or_end(stop, signal.SIGTERM); assert stop.is_set(); _stop_or_end(stop, signal.SIGTERM); assert False"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr


def test_no_secret_is_in_its_environment() -> None:
    assert not re.search(r"^Environment=.*(PASSWORD|TOKEN|SECRET)", UNIT.read_text(), re.M)
    assert service()["LimitCORE"] == "0"


def test_a_credential_of_systemd_is_a_secret_file_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "root.key"
    key.write_text("00" * 32)
    key.chmod(0o440)
    assert wrong_with(key)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert wrong_with(key) is None
    key.chmod(0o444)
    assert wrong_with(key)


@with_systemd
def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    assert ANALYZE
    done = subprocess.run([ANALYZE, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchDogSec="))
    done = subprocess.run([ANALYZE, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "WatchDogSec" in done.stderr, "a misspelt option is found"


@with_systemd
def test_little_is_exposed(unit: Path) -> None:
    assert ANALYZE
    command = [ANALYZE, "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "nrecognized option" in done.stderr:
        pytest.skip("systemd is older than 250")
    assert done.returncode == 0, done.stdout[-200:]
