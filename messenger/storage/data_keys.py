"""The data keys of this installation, unwrapped on demand. What belongs to a person is wrapped by that person's key in
the key database, so that it dies with it; a desk's own key is wrapped by the root key.

A new key is committed before anything is sealed under it."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.observability.failpoints import fp
from messenger.observability.time import utc_now
from messenger.storage.database import transaction
from messenger.storage.encryption import Key, KeyDestroyed, KeyMissing, kid_of, new_secret
from messenger.storage.models.keys import data_key, installation
from messenger.storage.subject_keys import LARGEST_KID, SubjectKeys

# The days of the queues are subjects too: their keys are destroyed when nothing waits under them any more.
_DAYS = UUID("6f1b7a58-5d0c-4b67-9a3e-2f0f6c1d9e42")
QUEUE = "queue:"
_COLUMNS = (data_key.c.kid, data_key.c.scope, data_key.c.subject, data_key.c.wrapped)
_ROOT_KID = sa.select(installation.c.root_kid).where(installation.c.id == 1).with_for_update(read=True)


def place(scope: str) -> str:
    return f"data_key|wrapped|{scope}"


def conversation_scope(id: UUID) -> str:
    return f"conversation:{id}"


def contact_scope(id: UUID) -> str:
    return f"contact:{id}"


def staff_scope(id: UUID) -> str:
    return f"staff:{id}"


def desk_scope(account: str) -> str:
    return f"desk:{account}"


def queue_scope(day: date) -> str:
    return f"{QUEUE}{day.isoformat()}"


def day_subject(day: date) -> UUID:
    return uuid5(_DAYS, day.isoformat())


@dataclass(frozen=True, slots=True)
class _Held:
    """An unwrapped key; `wrapped_by` is the subject key that wraps it (None: the root key)."""

    key: Key
    scope: str
    wrapped_by: int | None

    @property
    def may_be_destroyed(self) -> bool:
        """By somebody else, while we hold it: those of persons."""
        return self.wrapped_by is not None and not self.scope.startswith(QUEUE)


class DataKeys:
    """A bounded cache of committed keys. Without the root key nothing here opens."""

    def __init__(self, engine: AsyncEngine, subjects: SubjectKeys, *, remembered: int = 20_000) -> None:
        self.engine, self.subjects, self._remembered = engine, subjects, remembered
        self._by_scope: OrderedDict[str, _Held] = OrderedDict()
        self._by_kid: dict[int, _Held] = {}

    async def of_conversation(self, id: UUID, customer: Callable[[], Awaitable[UUID]]) -> Key:
        """Under the key of its customer, who is asked for only when it is made. Raises KeyDestroyed: nothing more is
        written in the conversation of somebody who was erased."""
        scope = conversation_scope(id)
        return await self._known(scope) or await self._made(scope, await customer())

    async def of_contact(self, id: UUID) -> Key:
        return await self._renewable(contact_scope(id), id)

    async def of_staff(self, id: UUID) -> Key:
        return await self._renewable(staff_scope(id), id)

    async def of_queue(self) -> Key:
        """Of this day. What waits in the queues is sealed for hours, or until somebody looks."""
        day = utc_now().date()
        return await self._renewable(queue_scope(day), day_subject(day))

    async def of_desk(self, account: str) -> Key:
        return await self.of(desk_scope(account))

    async def of(self, scope: str) -> Key:
        """Of something that belongs to the installation and to no person, under the root key."""
        return await self._known(scope) or await self._made(scope, None)

    async def open(self, record: bytes, *, where: str) -> bytes:
        """Opens a record by the key that it names. Raises CannotOpen; KeyDestroyed where it belonged to somebody who
        was erased."""
        kid = kid_of(record)
        held = self._by_kid.get(kid)
        if held is None and kid <= LARGEST_KID:
            held = await self._load(data_key.c.kid == kid)
        if held is None:
            raise KeyMissing("the record names a data key that is not there")
        await self._check(held)
        return held.key.open(record, where=where)

    async def is_erased(self, scope: str) -> bool:
        try:
            await self._known(scope)
        except KeyDestroyed:
            return True
        return False

    def forget_all(self) -> None:
        """After their wrapping has changed."""
        self._by_scope.clear()
        self._by_kid.clear()

    async def _known(self, scope: str) -> Key | None:
        """Raises KeyDestroyed."""
        held = self._by_scope.get(scope)
        if held is not None:
            self._by_scope.move_to_end(scope)
        else:
            held = await self._load(data_key.c.scope == scope)
        if held is None:
            return None
        await self._check(held)
        return held.key

    async def _renewable(self, scope: str, subject: UUID) -> Key:
        """Who comes back after an erasure gets new keys."""
        try:
            return await self._known(scope) or await self._made(scope, subject)
        except KeyDestroyed:
            await self._retire(scope)
            return await self._made(scope, subject)

    async def _check(self, held: _Held) -> None:
        if held.wrapped_by is None or not held.may_be_destroyed:
            return
        await self.subjects.notice_destroyed()
        if self.subjects.is_destroyed(held.wrapped_by):
            self._forget(held)
            raise KeyDestroyed("the key of this person was destroyed")

    async def _made(self, scope: str, subject: UUID | None) -> Key:
        by_subject = await self.subjects.of(subject) if subject is not None else None
        async with transaction(self.engine) as connection:
            wrapping = by_subject or await self._current_root(connection)
            wrapped = wrapping.seal(new_secret(), where=place(scope))
            row = {"scope": scope, "subject": subject, "wrapped": wrapped}
            await connection.execute(insert(data_key).values(row).on_conflict_do_nothing())
        fp("dek_wrapped")
        held = await self._load(data_key.c.scope == scope)
        assert held is not None, "it was just committed"
        return held.key

    async def _current_root(self, connection: AsyncConnection) -> Key:
        """Locked against a rotation until the transaction ends."""
        kid = await connection.scalar(_ROOT_KID)
        return self.subjects.roots.first if kid is None else self.subjects.roots.current(kid)

    async def _retire(self, scope: str) -> None:
        """Its name is free again; what it sealed stays unreadable under its old number. Only the dead one: somebody
        else may have made the next already."""
        async with transaction(self.engine) as connection:
            row = (await connection.execute(sa.select(*_COLUMNS).where(data_key.c.scope == scope))).first()
            if row is not None and self.subjects.is_destroyed(kid_of(row.wrapped)):
                dead = data_key.update().where(data_key.c.kid == row.kid)
                await connection.execute(dead.values(scope=f"{scope}|{row.kid}"))

    async def _load(self, which: sa.ColumnElement[bool]) -> _Held | None:
        async with transaction(self.engine) as connection:
            row = (await connection.execute(sa.select(*_COLUMNS).where(which))).first()
        if row is None:
            return None
        held = await self._unwrapped(row)
        self._remember(held)
        return held

    async def _unwrapped(self, row: Any) -> _Held:
        kid = kid_of(row.wrapped)
        if row.subject is None:
            wrapping, wrapped_by = self.subjects.roots.named(kid), None
        else:
            wrapping, wrapped_by = await self.subjects.find(row.subject, kid), kid
        secret = wrapping.open(row.wrapped, where=place(row.scope))
        return _Held(Key(row.kid, secret), row.scope, wrapped_by)

    def _remember(self, held: _Held) -> None:
        self._by_scope[held.scope] = held
        self._by_kid[held.key.kid] = held
        while len(self._by_scope) > self._remembered:
            _, oldest = self._by_scope.popitem(last=False)
            self._by_kid.pop(oldest.key.kid, None)

    def _forget(self, held: _Held) -> None:
        self._by_scope.pop(held.scope, None)
        self._by_kid.pop(held.key.kid, None)
