"""Keys for tests without a program: a root key that nobody else has, subject keys in the same database."""

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.data_keys import DataKeys
from messenger.storage.encryption import Key, new_secret, root_key
from messenger.storage.root_keys import RootKeys
from messenger.storage.subject_keys import SubjectKeys


def new_root() -> Key:
    return root_key(new_secret())


def keys_of(database: AsyncEngine, root: Key | None = None, *, key_database: AsyncEngine | None = None) -> DataKeys:
    roots = RootKeys(root or new_root())
    return DataKeys(database, SubjectKeys(key_database or database, roots))
