"""`stellwerk demo` as a person starts it: the story holds, a second start goes on with its data, `--reset` begins anew,
and nothing is left running."""

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from messenger.demo.a_week_later import COMMENT, NEWS, THANKS
from messenger.demo.cast import ANNA, BACK_OFFICE
from messenger.demo.first_day import ANSWER, NOTE, QUESTION, REASON
from tests.support.warm import run_warm

COMMAND = [sys.executable, "-m", "messenger.cli"]
KEPT = ("people.json", "stellwerk.toml", "root.key", "synapse/port", "data/desk.recovery")
START_TIMEOUT_S = 120
PROGRAMS = ("synapse.app.homeserver", "postgres -D", "serve --ready-file")
LEAVES_A_DATABASE = """
import asyncio, os, pathlib, signal, sys
from messenger.storage.embedded import EmbeddedPostgres
asyncio.run(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start())
os.kill(os.getpid(), signal.SIGKILL)
"""
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


def is_last_line(line: str) -> bool:
    """Of what a start prints."""
    return line.startswith("Ctrl-C")


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


def everything_of(process: subprocess.Popen[str], folder: Path) -> dict[psutil.Process, str]:
    """Each process of a demonstration with its command. The database is no child of it, but names its folder."""
    servers = [each for each in psutil.process_iter() if str(folder) in command_of(each)]
    roots = {psutil.Process(process.pid), *servers}
    return {each: command_of(each) for root in roots for each in [root, *root.children(recursive=True)]}


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def still_running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def leave_a_database(folder: Path) -> psutil.Process:
    """The server of a demonstration that was killed with SIGKILL: nobody is left to stop it."""
    killed = subprocess.run([sys.executable, "-c", LEAVES_A_DATABASE, str(folder / "data/postgres")], check=False)
    assert killed.returncode == -signal.SIGKILL
    return psutil.Process(int((folder / "data/postgres/data/postmaster.pid").read_text("utf-8").split()[0]))


def conversations(folder: Path) -> list[tuple[str, str, str]]:
    verb = ("--config", str(folder / "stellwerk.toml"), "conversation", "list", "--json")
    code, listed = asyncio.run(run_warm("messenger.cli", *verb))
    assert code == 0, listed
    return [(each["ref"], each["state"], each["owner"]) for each in json.loads(listed)]


def fingerprint(text: str) -> str:
    """Of the desk's account, as a start prints it."""
    found = re.search(r"^Fingerprint +(\S.*)$", text, re.MULTILINE)
    assert found, text
    return found[1]


def passwords_of(folder: Path) -> set[str]:
    return set(json.loads((folder / "people.json").read_text("utf-8"))["passwords"].values())


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


def test_a_second_start_goes_on_with_the_same_conversation_and_ctrl_c_ends_every_process(
    told: tuple[Path, str],
) -> None:
    folder, story = told
    number = re.search(r"\bK-\w+(?=\))", story)
    before = {name: (folder / name).read_bytes() for name in KEPT}
    with demonstration(folder) as process:
        again = read_until(process, is_last_line)
        seconds, started = work_of(process.pid), everything_of(process, folder)
        kept = conversations(folder)
        code, rest = end(process)
    assert number and (number[0], "open", BACK_OFFICE.name) in kept
    assert "same data as before" in again and fingerprint(again) == fingerprint(story)
    assert {name: (folder / name).read_bytes() for name in KEPT} == before
    assert all(any(program in command for command in started.values()) for program in PROGRAMS)
    assert (code, "The data stay" in rest, still_running(started)) == (0, True, [])
    assert seconds < WARM_START_S


def test_reset_begins_anew_also_where_a_killed_demonstration_left_its_database(told: tuple[Path, str]) -> None:
    """The last one on this folder: it empties it."""
    folder, story = told
    passwords = passwords_of(folder)
    left = leave_a_database(folder)
    with (folder / "data/postgres/server.log").open() as log, demonstration(folder, "--reset") as process:
        log.seek(0, io.SEEK_END)  # read on when the file has gone
        anew = read_until(process, is_last_line)
        still_there, kept, last_words = still_running([left]), conversations(folder), log.read()
        code, _ = end(process)
    assert "received fast shutdown request" in last_words  # not dead of its files being taken from under it
    assert "first start" in anew and (still_there, kept) == ([], [])
    assert not passwords & passwords_of(folder) and fingerprint(anew) != fingerprint(story)
    assert (code, processes_on(folder)) == (0, [])
