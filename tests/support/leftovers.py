"""Databases that nobody uses any more: PostgreSQL is no child of the process that started it, so it outlives a session
that was killed (a homeserver or a product does not, see `messenger.demo.child`). The next session ends it."""

import fcntl
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.databases import PREPARED, SERVER_NAME, one_at_a_time, temporary_folder

SHUTDOWN_S = 20


def end_abandoned_databases() -> None:
    """Those of this checkout. Who uses a server holds a lock (`EmbeddedPostgres`), taken before the start: no lock, no
    user."""
    with one_at_a_time("postgres"):
        _end_servers()
        for folder in temporary_folder().glob(f"{SERVER_NAME}*"):
            with _taken(folder) as is_unused:
                if is_unused:
                    shutil.rmtree(folder)


def _end_servers() -> None:
    ours = (PREPARED, temporary_folder())
    for process, folder in _servers():
        if any(folder.is_relative_to(each) for each in ours):
            with _taken(folder) as is_unused, suppress(psutil.Error):
                if is_unused:
                    process.send_signal(signal.SIGINT)  # a fast shutdown (PostgreSQL, "Shutting Down the Server")
                    process.wait(SHUTDOWN_S)


def _servers() -> Iterator[tuple[psutil.Process, Path]]:
    """Server processes and the folder of each; their own children name no folder."""
    for process in psutil.process_iter(["cmdline"]):
        match process.info["cmdline"]:
            case [program, "-D", data, *_] if program.endswith("/postgres"):
                yield process, Path(data).parent


@contextmanager
def _taken(folder: Path) -> Iterator[bool]:
    """Keeps new users out meanwhile. A folder that was removed has no user either."""
    try:
        lock = (folder / "users.lock").open("rb")
    except FileNotFoundError:
        yield True
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
