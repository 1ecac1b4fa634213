"""The root keys that a process holds: one, or two while a rotation is on its way.

The next one lies beside the first in a file of its own. A process that meets a record of a root key it does not know
looks there again, so that a running service learns of a rotation without a restart."""

from collections.abc import Iterable
from pathlib import Path

from messenger.app.ports import StorageAway
from messenger.storage.encryption import Key, KeyMissing, kid_of, read_root_key


class RootKeyAway(StorageAway):
    """The root key that is current by now is not here: a rotation is on its way, and the new key's file has not been
    brought to this machine yet. Whoever needs it waits."""


def next_file(file: Path) -> Path:
    """Where the key that follows this one waits until the rotation has ended."""
    return file.with_name(f"{file.name}.next")


class RootKeys:
    """`first` is the one of the settings' own file."""

    def __init__(self, first: Key, *more: Key, file: Path | None = None) -> None:
        self.first, self._file = first, file
        self._by_kid = _by_kid((first, *more))

    @classmethod
    def read(cls, file: Path) -> "RootKeys":
        """Raises BadRootKey."""
        return cls(read_root_key(file), *_following(file), file=file)

    def named(self, kid: int) -> Key:
        """Raises KeyMissing."""
        if kid not in self._by_kid and self._file is not None:
            self._by_kid |= _by_kid((read_root_key(self._file), *_following(self._file)))
        try:
            return self._by_kid[kid]
        except KeyError:
            raise KeyMissing(f"root key {kid:08x} is not here") from None

    def holds(self, kid: int) -> bool:
        try:
            self.named(kid)
        except KeyMissing:
            return False
        return True

    def current(self, kid: int) -> Key:
        """The one that the database calls its current one. Raises RootKeyAway."""
        if not self.holds(kid):
            raise RootKeyAway(f"root key {kid:08x} is not here")
        return self._by_kid[kid]

    def open(self, record: bytes, *, where: str) -> bytes:
        """Raises CannotOpen."""
        return self.named(kid_of(record)).open(record, where=where)


def _following(file: Path) -> list[Key]:
    return [read_root_key(next_file(file))] if next_file(file).exists() else []


def _by_kid(keys: Iterable[Key]) -> dict[int, Key]:
    return {key.kid: key for key in keys}
