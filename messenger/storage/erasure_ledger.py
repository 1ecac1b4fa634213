"""The erasure ledger: who was erased, apart from both databases. A line is written before anything is destroyed, so
that a restored backup can be told what it must not know any more.

One line is one JSON object, signed, and names the digest of the line before it. Lines are only ever added; a line is on
the disk before `add` returns. It holds a pseudonym, a moment and a scope, and nothing else about anybody."""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from messenger.storage.signing import SigningKey, is_signed

log = logging.getLogger(__name__)

KIND = "erasure ledger"


class LedgerDamaged(Exception):
    """A line of the erasure ledger is missing or was changed. Nothing may be served on what it no longer tells; the
    text says which line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    position: int
    subject: str
    scope: str
    at: datetime


class ErasureLedger:
    """`copy`: a second place, on another disk, that has each line before `add` returns. If it cannot be written to, the
    erasure goes on: the next line brings it up to date, and `doctor` says how far behind it is."""

    def __init__(self, file: Path, key: SigningKey, *, copy: Path | None = None) -> None:
        self._file, self._key, self._copy = file, key, copy

    def entries(self) -> Sequence[Entry]:
        """Raises LedgerDamaged. A last line without its end was never confirmed to anybody and counts for nothing."""
        return [entry for entry, _ in self._lines()]

    def lines(self) -> Sequence[bytes]:
        """As they are in the file, examined. Raises LedgerDamaged."""
        return self._whole_lines()[: len(self.entries())]

    def take(self, lines: Sequence[bytes]) -> None:
        """These lines of ours, if the file has fewer: never less than there is."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if len(lines) > len(self.entries()):
                _write_whole(self._file, lines)
            self._to_second_place()

    def add(self, subject: str, scope: str, at: datetime) -> Entry:
        """Once for each subject: a repeat returns the first entry. On the disk when it returns."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            lines = list(self._lines())
            for entry, _ in lines:
                if (entry.subject, entry.scope) == (subject, scope):
                    return entry
            entry = Entry(position=len(lines) + 1, subject=subject, scope=scope, at=at)
            self._append(self._line(entry, lines[-1][1] if lines else ""))
            self._to_second_place()
            return entry

    def _to_second_place(self) -> None:
        if self._copy is None:
            return
        try:
            _write_whole(self._copy, self._whole_lines())
        except OSError as error:
            log.warning("the second place of the erasure ledger cannot be written", extra={"reason": error.strerror})

    def _line(self, entry: Entry, before: str) -> str:
        body = {
            "position": entry.position,
            "subject": entry.subject,
            "scope": entry.scope,
            "at": entry.at.isoformat(),
            "after": before,
            "key": self._key.public,
        }
        return json.dumps({**body, "signature": self._key.sign(KIND, body)}, sort_keys=True)

    def _append(self, line: str) -> None:
        """What a crash has left of an unfinished line is cut off first."""
        is_new = not self._file.exists()
        with os.fdopen(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
            whole = out.read()
            out.truncate(whole.rfind(b"\n") + 1)
            out.seek(0, os.SEEK_END)
            out.write(line.encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        if is_new:
            _sync_folder(self._file.parent)

    def _lines(self) -> Iterator[tuple[Entry, str]]:
        """Each entry with the digest of its line."""
        before = ""
        for number, line in enumerate(self._whole_lines(), start=1):
            entry = self._read(number, line, before)
            before = hashlib.sha256(line).hexdigest()
            yield entry, before

    def _whole_lines(self) -> list[bytes]:
        try:
            return self._file.read_bytes().split(b"\n")[:-1]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _read(self, number: int, line: bytes, before: str) -> Entry:
        try:
            body: dict[str, Any] = json.loads(line)
            signature = body.pop("signature")
            entry = Entry(
                position=body["position"],
                subject=body["subject"],
                scope=body["scope"],
                at=datetime.fromisoformat(body["at"]),
            )
            is_whole = is_signed(self._key.public, KIND, body, signature)
            follows = (body["after"], entry.position) == (before, number)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_whole = follows = False
        if not is_whole or not follows:
            raise LedgerDamaged(
                f"{self._file}, line {number}, is not what this installation wrote. Bring back your copy of this file "
                "(and of the signing key): it says who must not come back with a restored database"
            )
        return entry

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Another process may erase somebody at the same time. The kernel frees the lock of a killed process."""
        with open(self._file.with_name(self._file.name + ".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write_whole(file: Path, lines: Sequence[bytes]) -> None:
    """At any moment the file is the old or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.writelines(line + b"\n" for line in lines)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
