"""Signed checkpoints of the audit chain: where it stood, in a place that the database's owner does not hold.

One checkpoint is one line of JSON. Each names the digest of the line before it, so that a file of them is a chain of
its own, and is signed with an Ed25519 key of the installation."""

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from messenger.storage.data_keys import DataKeys

SIGNING_SCOPE = "audit-signing:1"
_CONTEXT = b"stellwerk audit checkpoint\n"  # what is signed can be taken for nothing else
NO_LINE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The chain had `seq` rows, the last with `mac`. `after` is the digest of the line before it in the same file."""

    seq: int
    mac: bytes
    at: datetime
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A checkpoint as it was found; `fault` is empty, or says what is wrong with it."""

    number: int
    checkpoint: Checkpoint | None
    fault: str


async def signing_key(keys: DataKeys) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes((await keys.of(SIGNING_SCOPE)).secret)


def public_text(key: Ed25519PrivateKey) -> str:
    return b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def signed_line(key: Ed25519PrivateKey, checkpoint: Checkpoint) -> str:
    body = _body(checkpoint, public_text(key))
    return json.dumps({**body, "sig": b64encode(key.sign(_signed(body))).decode()}, sort_keys=True)


def digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def read_lines(key: Ed25519PrivateKey, lines: Sequence[str]) -> list[Line]:
    """Checks every line's signature and that it follows the one before it."""
    found, before = [], NO_LINE
    for number, line in enumerate(lines, start=1):
        found.append(_read(key, number, line, before))
        before = digest(line)
    return found


def last_line(file: Path) -> str:
    """The digest of the file's last line, to go on from; empty for a new file."""
    lines = lines_of(file)
    return digest(lines[-1]) if lines else NO_LINE


def lines_of(file: Path) -> list[str]:
    """Damaged bytes make a line that cannot be read, and keep nobody from reading the others."""
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def append_line(file: Path, line: str) -> None:
    """Added at the end and on the disk when it returns. It works on a file that can only be appended to (chattr +a).

    A line that a crash has cut off is closed first: it stays visible as one that cannot be read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    is_new = not file.exists()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, (_end_of_cut_line(file) + line + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(file.parent)


def _end_of_cut_line(file: Path) -> str:
    with file.open("rb") as found:
        if found.seek(0, os.SEEK_END) == 0:
            return ""
        found.seek(-1, os.SEEK_END)
        return "" if found.read(1) == b"\n" else "\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _body(checkpoint: Checkpoint, public: str) -> dict[str, Any]:
    return {
        "v": 1,
        "seq": checkpoint.seq,
        "mac": checkpoint.mac.hex(),
        "at": checkpoint.at.astimezone(UTC).isoformat(),
        "after": checkpoint.after,
        "key": public,
    }


def _signed(body: Mapping[str, Any]) -> bytes:
    return _CONTEXT + json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _read(key: Ed25519PrivateKey, number: int, line: str, before: str) -> Line:
    try:
        body = json.loads(line)
        signature = b64decode(body.pop("sig"), validate=True)
        checkpoint = Checkpoint(
            seq=int(body["seq"]),
            mac=bytes.fromhex(body["mac"]),
            at=datetime.fromisoformat(body["at"]),
            after=str(body["after"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return Line(number=number, checkpoint=None, fault="unreadable")
    if body != _body(checkpoint, public_text(key)):
        return Line(number=number, checkpoint=None, fault="foreign_key")
    try:
        key.public_key().verify(signature, _signed(body))
    except InvalidSignature:
        return Line(number=number, checkpoint=None, fault="bad_signature")
    return Line(number=number, checkpoint=checkpoint, fault="" if checkpoint.after == before else "line_missing")
