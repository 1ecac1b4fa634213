"""Destroying the key of a person."""

from uuid import UUID

from messenger.storage.data_keys import DataKeys
from messenger.storage.key_upgrade import erase_keys


class Keyring:
    """Implements `SubjectKeyring`."""

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    async def destroy(self, contact: UUID) -> None:
        """Also out of the files of the key database; a key that was destroyed before is written over once more."""
        await erase_keys(self._keys.engine, self._keys, contact)
        await self._keys.subjects.shred()
