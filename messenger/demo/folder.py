"""The demonstration's folder: everything it keeps between two starts, and nothing outside of it."""

import fcntl
import json
import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from messenger.config.template import render
from messenger.demo.cast import DESK, ORGANISATION, Person, cast

MARKER = ".stellwerk-demo"
MARKER_TEXT = "Made by `stellwerk demo`. `stellwerk demo --reset` deletes this folder.\n"


class NotADemo(Exception):
    """The folder holds something else, or somebody is using it. Nothing in it was touched."""


class DemoFolder:
    """Open with `open_folder`. `is_new` is true until the first start has finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / "stellwerk.toml"
        self.root_key_file = path / "root.key"
        self.stellwerk_log = path / "logs" / "stellwerk.log"
        self.ready_file = path / "ready"
        self._people_file = path / "people.json"
        self._lock: IO[bytes] | None = None

    @property
    def is_new(self) -> bool:
        return not (self.path / "started").exists()

    def mark_started(self) -> None:
        (self.path / "started").touch()

    def people(self, seed: int) -> dict[str, Any]:
        """The cast and all passwords; made once, so that every later start has the same logins."""
        if not self._people_file.exists():
            people = [asdict(person) for person in cast(seed)]
            passwords = {user: secrets.token_urlsafe(9) for user in (DESK, *(person["user"] for person in people))}
            write_private(self._people_file, json.dumps({"people": people, "passwords": passwords}, indent=1))
        found: dict[str, Any] = json.loads(self._people_file.read_text("utf-8"))
        return found

    def write_settings(self, *, homeserver: str, desk: str, password: str) -> None:
        """The settings are ours: written at each start, because the homeserver's port may change."""
        write_private(self.path / "desk.password", password + "\n")
        desks = [{"user_id": desk, "password_file": "desk.password"}]
        values: dict[str, dict[str, Any]] = {
            "server": {"data_dir": "data", "organisation": ORGANISATION},
            "matrix": {"homeserver": homeserver, "desks": desks},
            "log": {"format": "json"},
        }
        write_private(self.settings_file, render(values))

    def empty(self) -> None:
        """Deletes all but the marker and the lock, which is held."""
        for item in self.path.iterdir():
            if item.name in (MARKER, "demo.lock"):
                continue
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()

    def lock(self) -> None:
        """Raises NotADemo while another demonstration runs on the folder; the kernel frees a killed one's lock."""
        self._lock = (self.path / "demo.lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotADemo(f"a demonstration is running on {self.path} already. End it, or use --dir") from None

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def open_folder(path: Path) -> DemoFolder:
    """Makes the folder, or takes an earlier demonstration's. Raises NotADemo for a folder with other things in it."""
    path = path.absolute()
    if path.exists() and any(path.iterdir()) and not (path / MARKER).exists():
        raise NotADemo(f"{path} is not empty and was not made by `stellwerk demo`. Choose another folder with --dir")
    path.mkdir(parents=True, exist_ok=True)
    (path / MARKER).write_text(MARKER_TEXT)
    folder = DemoFolder(path)
    folder.lock()
    return folder


def people_of(stored: dict[str, Any]) -> tuple[Person, ...]:
    return tuple(Person(**{**person, "groups": tuple(person["groups"])}) for person in stored["people"])


def write_private(file: Path, text: str) -> None:
    """Mode 0600 from its first byte; the content changes in one step."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(file)
