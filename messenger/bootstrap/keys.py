"""The root key's life, for the command line: its files, and the rotation over both databases."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from messenger.bootstrap.acting import note
from messenger.bootstrap.database import Storage, open_storage
from messenger.config import Settings
from messenger.queries.keys import RootKeyRow, key_counts
from messenger.storage.encryption import Key, read_root_key, write_root_key
from messenger.storage.key_rotation import Databases, begin, finish, rewrap
from messenger.storage.root_keys import RootKeys, next_file


class FilesStayed(Exception):
    """Every key is under the new root key, but its file could not be put in place; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """`is_rotating`: a rotation has begun and not ended. `roots` and counts as in `queries.keys`."""

    root_key: str
    is_rotating: bool
    roots: Sequence[RootKeyRow]
    subjects: int
    destroyed: int
    data_keys: int
    older: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """`kept`: where the old key's file lies now."""

    root_key: str
    keys: int
    kept: Path


async def key_status(settings: Settings) -> KeyStatus:
    async with open_storage(settings) as storage:
        counts = await key_counts(storage.engine, storage.keys.subjects.engine)
    current = [row.id for row in counts.roots if row.state == "current"]
    return KeyStatus(
        root_key=current[0],
        is_rotating=any(row.state == "leaving" for row in counts.roots) or _next(settings).exists(),
        roots=counts.roots,
        subjects=counts.subjects,
        destroyed=counts.destroyed,
        data_keys=counts.data_keys,
        older=counts.older,
    )


async def rotate_root_key(settings: Settings, *, tell: Callable[[int], None] = lambda done: None) -> Rotated:
    """A new root key, or the rest of a rotation that broke off. Raises BadRootKey, RotationUnfinished, FilesStayed."""
    if not _next(settings).exists():
        _make_next(settings)
    async with open_storage(settings) as storage:
        new = read_root_key(_next(settings))
        await note(storage.engine, storage.keys, action="keys.rotate", object=f"root-key:{new.kid:08x}")
        keys = await _rotate(storage, new, tell)
    return Rotated(root_key=f"{new.kid:08x}", keys=keys, kept=_put_in_place(settings))


async def _rotate(storage: Storage, new: Key, tell: Callable[[int], None]) -> int:
    databases = Databases(main=storage.engine, keys=storage.keys.subjects.engine)
    await begin(databases, new)
    done = await rewrap(databases, storage.keys.subjects.roots, new, tell=tell)
    await finish(databases, new)
    return done


def _next(settings: Settings) -> Path:
    return next_file(settings.security.root_key_file)


def _make_next(settings: Settings) -> None:
    """Only beside a root key that is in order: a rotation needs both."""
    RootKeys.read(settings.security.root_key_file)
    write_root_key(_next(settings))


def _put_in_place(settings: Settings) -> Path:
    """The old file keeps its content under a name of its own: copies of the key database from before still need it."""
    file, following = settings.security.root_key_file, _next(settings)
    kept = file.with_name(f"{file.name}.{read_root_key(file).kid:08x}.old")
    try:
        if not kept.exists():
            os.link(file, kept)
        following.replace(file)
    except OSError as error:
        raise FilesStayed(
            f"every key is under the new root key now, but {file} cannot be replaced ({error.strerror}): "
            f"put {following} in its place"
        ) from None
    return kept
