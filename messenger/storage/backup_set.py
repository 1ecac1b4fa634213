"""A set of a backup: one folder with a few files and a manifest that says what belongs to it.

The manifest is written last, so that a set without one never ended. It is authenticated under the root key: a set that
was changed, is incomplete or belongs to another installation is refused before anything is touched."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from messenger.storage.encryption import Key
from messenger.storage.root_keys import RootKeys

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20


class BadSet(Exception):
    """The folder is not a backup that can be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOfSet:
    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`counts` are rows by table, of the same moment as the dump. `details` are facts for people."""

    id: UUID
    kind: str  # main, keys, continuous
    made_at: datetime
    program: str
    schema: str
    postgres: int
    root_kid: int
    counts: Mapping[str, int]
    files: Sequence[FileOfSet]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def new_folder(folder: Path) -> None:
    """Makes the set's folder. Raises BadSet if something is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadSet(f"{folder} is not empty: every backup needs a folder of its own")
    folder.chmod(0o700)


def described(file: Path, *, name: str = "") -> FileOfSet:
    """Also makes it durable, and readable by its owner only. `name`: within the set, if it lies deeper."""
    file.chmod(0o600)
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
        os.fsync(content.fileno())
    return FileOfSet(name=name or file.name, bytes=file.stat().st_size, sha256=digest.hexdigest())


def write_manifest(folder: Path, manifest: Manifest, root: Key) -> None:
    values = _values(manifest)
    text = json.dumps({**values, "mac": _mac(values, root)}, indent=2, sort_keys=True)
    draft = folder / f".{MANIFEST}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(out.fileno())
    draft.rename(folder / MANIFEST)
    _sync_folder(folder)


def read_manifest(folder: Path, roots: RootKeys) -> Manifest:
    """Raises BadSet for a folder that holds no whole set of this installation. The files are not read."""
    try:
        stored = json.loads((folder / MANIFEST).read_text())
        mac = stored.pop("mac")
        root_kid, version = stored["root_kid"], stored["format"]
    except FileNotFoundError:
        raise BadSet(f"{folder} holds no {MANIFEST}: it is no backup, or the backup never ended") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadSet(f"{folder / MANIFEST} cannot be read: the set is damaged") from None
    if not isinstance(root_kid, int) or not roots.holds(root_kid):
        raise BadSet(
            f"{folder} was made under another root key ({root_kid}, ours is {roots.first.kid}): it belongs to "
            "another installation, or the root key was changed since; bring the root key of that time"
        )
    if not isinstance(mac, str) or not _is_same(mac, _mac(stored, roots.named(root_kid))):
        raise BadSet(f"{folder / MANIFEST} was changed after the backup: do not use this set")
    if version != FORMAT:
        raise BadSet(f"{folder} has format {version}, this program knows {FORMAT}: use the program that made it")
    return _manifest(stored)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Reads all files. Raises BadSet, naming the first that is missing or differs."""
    for expected in manifest.files:
        file = folder / expected.name
        if not file.is_file():
            raise BadSet(f"{file} is missing: the set is incomplete")
        if file.stat().st_size != expected.bytes or sha256_of(file) != expected.sha256:
            raise BadSet(f"{file} was changed or cut after the backup: do not use this set")


def sha256_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_same(mac: str, expected: str) -> bool:
    """As bytes: of texts `compare_digest` takes only plain ones, and this one may be anything."""
    return hmac.compare_digest(mac.encode(errors="replace"), expected.encode())


def _mac(values: Mapping[str, Any], root: Key) -> str:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"stellwerk backup manifest").derive(root.secret)
    return hmac.new(key, json.dumps(values, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _values(manifest: Manifest) -> dict[str, Any]:
    return {
        **asdict(manifest),
        "format": FORMAT,
        "id": str(manifest.id),
        "made_at": manifest.made_at.isoformat(),
        "counts": dict(manifest.counts),
        "files": [asdict(file) for file in manifest.files],
        "details": dict(manifest.details),
    }


def _manifest(stored: Mapping[str, Any]) -> Manifest:
    values = {name: value for name, value in stored.items() if name != "format"}
    return Manifest(
        **{
            **values,
            "id": UUID(stored["id"]),
            "made_at": datetime.fromisoformat(stored["made_at"]),
            "files": tuple(FileOfSet(**file) for file in stored["files"]),
        }
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
