"""`stellwerk demo` as a person starts it: the story holds, a second start changes nothing, nothing is left running."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from messenger.demo.a_week_later import COMMENT, NEWS, THANKS
from messenger.demo.cast import ANNA, BACK_OFFICE
from messenger.demo.first_day import ANSWER, NOTE, QUESTION, REASON

COMMAND = [sys.executable, "-m", "messenger.cli"]
KEPT = ("people.json", "stellwerk.toml", "root.key", "synapse/port", "data/desk.recovery")
START_TIMEOUT_S = 120
WARM_START_S = 30  # of processor time: a busy machine waits longer, and works as much


@contextmanager
def demonstration(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "demo", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], fits: Callable[[str], object]) -> str:
    """Everything it has printed up to the line that fits; the whole if there is none."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if fits(line):
            break
    return text


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=START_TIMEOUT_S)
    return process.returncode, rest


def processes_on(folder: Path) -> list[str]:
    commands = [str(each.info["cmdline"]) for each in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(folder) in command]


def work_of(pid: int) -> float:
    """Processor time in seconds, of this process and all that it has started and that runs."""
    root = psutil.Process(pid)
    return sum(each.cpu_times().user + each.cpu_times().system for each in [root, *root.children(recursive=True)])


def group_list(folder: Path) -> str:
    command = [*COMMAND, "--config", str(folder / "stellwerk.toml"), "group", "list", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def set_language(folder: Path, group: str, language: str) -> None:
    command = [*COMMAND, "--config", str(folder / "stellwerk.toml"), "group", "set", group, f"language={language}"]
    subprocess.run(command, capture_output=True, text=True, check=True)


def tell_the_story(folder: Path) -> str:
    with demonstration(folder, "--story") as process:
        text = read_until(process, lambda line: False)
    assert process.returncode == 0, text
    return text


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a demonstration, and what the first story printed there."""
    folder = tmp_path_factory.mktemp("demonstration") / "demo"
    return folder, tell_the_story(folder)


@pytest.fixture
def folder(told: tuple[Path, str]) -> Path:
    return told[0]


def test_the_story_holds_and_nothing_is_left_running(told: tuple[Path, str]) -> None:
    folder, text = told
    assert "The story held." in text and "a week passes" in text
    assert all(f"marks: {mark}" in text for mark in ("🔒", "📨", "✅", "⚙"))
    assert processes_on(folder) == []


def test_no_log_holds_a_text_a_name_or_a_password(folder: Path) -> None:
    logs = [folder / "logs/stellwerk.log", folder / "data/postgres/server.log"]
    written = "".join(log.read_text("utf-8", "replace") for log in logs)
    passwords = json.loads((folder / "people.json").read_text("utf-8"))["passwords"].values()
    assert '"event": "ready"' in written
    for secret in (
        QUESTION,
        NOTE,
        ANSWER,
        REASON,
        COMMENT,
        NEWS,
        THANKS,
        ANNA[1],
        BACK_OFFICE.name,
        "Leonie Brandt",
        "packung.png",
        *passwords,
    ):
        assert secret not in written


@pytest.mark.long  # the story itself is told above
def test_the_story_can_be_told_again_on_the_same_data_also_to_a_german_team(folder: Path) -> None:
    set_language(folder, "Prescriptions", "de")
    text = tell_the_story(folder)
    set_language(folder, "Prescriptions", "en")
    assert "Pausiert" in text and "Erledigt" in text


@pytest.mark.long
def test_a_second_start_is_quick_prints_the_same_and_changes_nothing(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in KEPT}
    groups = group_list(folder)
    with demonstration(folder) as process:
        text = read_until(process, lambda line: "Ctrl-C" in line)
        seconds = work_of(process.pid)
        code, rest = end(process)
    assert "same data as before" in text and re.search(r"Fingerprint +\S+", text), text
    assert (code, "The data stay" in rest) == (0, True)
    assert {name: (folder / name).read_bytes() for name in KEPT} == before
    assert group_list(folder) == groups
    assert processes_on(folder) == []
    assert seconds < WARM_START_S
