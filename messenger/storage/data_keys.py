"""The data keys of this installation, unwrapped on demand. A new key is committed before anything is sealed under
it."""

from collections import OrderedDict
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.storage.database import transaction
from messenger.storage.encryption import Key, kid_of, new_secret
from messenger.storage.models.keys import data_key

QUEUE_SCOPE = "queue"
_WRAPPED = "data_key|wrapped|{}"


def conversation_scope(id: UUID) -> str:
    return f"conversation:{id}"


def staff_scope(id: UUID) -> str:
    return f"staff:{id}"


class DataKeys:
    """A bounded cache of committed keys. Without the root key nothing here opens."""

    def __init__(self, engine: AsyncEngine, root: Key, *, remembered: int = 20_000) -> None:
        self._engine, self._root, self._remembered = engine, root, remembered
        self._by_scope: OrderedDict[str, Key] = OrderedDict()
        self._by_kid: dict[int, Key] = {}

    async def of(self, scope: str) -> Key:
        """The key of a scope; made and committed at first use."""
        if scope in self._by_scope:
            self._by_scope.move_to_end(scope)
            return self._by_scope[scope]
        async with transaction(self._engine) as connection:
            return await self._find(connection, scope) or await self._make(connection, scope)

    async def open(self, record: bytes, *, where: str) -> bytes:
        """Opens a record by the key that it names. Raises CannotOpen."""
        key = self._by_kid.get(kid_of(record))
        if key is None:
            async with transaction(self._engine) as connection:
                key = await self._load(connection, data_key.c.kid == kid_of(record))
        return key.open(record, where=where)

    async def _find(self, connection: AsyncConnection, scope: str) -> Key | None:
        try:
            return await self._load(connection, data_key.c.scope == scope)
        except LookupError:
            return None

    async def _make(self, connection: AsyncConnection, scope: str) -> Key:
        wrapped = self._root.seal(new_secret(), where=_WRAPPED.format(scope))
        await connection.execute(insert(data_key).values(scope=scope, wrapped=wrapped).on_conflict_do_nothing())
        return await self._load(connection, data_key.c.scope == scope, remember=False)

    async def _load(self, connection: AsyncConnection, which: sa.ColumnElement[bool], *, remember: bool = True) -> Key:
        row = (
            await connection.execute(sa.select(data_key.c.kid, data_key.c.scope, data_key.c.wrapped).where(which))
        ).first()
        if row is None:
            raise LookupError("no such data key")
        key = Key(row.kid, self._root.open(row.wrapped, where=_WRAPPED.format(row.scope)))
        if remember:
            self._remember(row.scope, key)
        return key

    def _remember(self, scope: str, key: Key) -> None:
        self._by_scope[scope] = key
        self._by_kid[key.kid] = key
        while len(self._by_scope) > self._remembered:
            _, oldest = self._by_scope.popitem(last=False)
            self._by_kid.pop(oldest.kid, None)
