"""The subject keys: one for each person, in the key database. Who destroys a person's key has destroyed everything that
is sealed under it, wherever copies of the main database lie.

A key is committed before anything is wrapped by it, and an orphan is taken away later: never the other way round."""

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.observability.failpoints import fp
from messenger.storage.database import transaction
from messenger.storage.encryption import BadRootKey, CannotOpen, Key, KeyDestroyed, KeyMissing, kid_of, new_secret
from messenger.storage.models.subject_keys import root_key, subject_key
from messenger.storage.root_keys import RootKeyAway, RootKeys

# Another process may destroy a key that this one remembers: so old may what it believes be.
NOTICED_EVERY_S = 5.0
# So long is a remembered key used for new data keys before its use is noted again. Far less than ORPHAN_AFTER.
USE_NOTED_EVERY_S = 3600.0
ORPHAN_AFTER = "7 days"
LARGEST_KID = 2**31 - 1  # of PostgreSQL's integers; a record that was changed may name any
_OVERLAP = "1 minute"  # clocks within one database: a destruction that commits late is still seen

_USE = (
    subject_key.update()
    .where(subject_key.c.subject == sa.bindparam("of"), subject_key.c.destroyed_at.is_(None))
    .values(used_at=sa.func.now())
    .returning(subject_key)
)
_CURRENT_ROOT = sa.select(root_key.c.kid).where(root_key.c.state == "current").with_for_update(read=True)
_DESTROYED = sa.text(f"""
SELECT now() AS at, kid, subject FROM (SELECT coalesce(CAST(:since AS timestamptz), now()) AS moment) AS last
LEFT JOIN subject_key ON destroyed_at > moment - interval '{_OVERLAP}'""")  # noqa: S608 - fixed texts of ours


# Transactions in this database that began before now: each sees what was there then.
_ONLOOKERS = sa.text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_xmin, backend_xid) IS NOT NULL""")
MOST_LOOKS, LOOK_EVERY_S = 50, 0.1


def place(subject: UUID) -> str:
    return f"subject_key|wrapped|{subject}"


class SubjectKeys:
    """A bounded cache over the key database."""

    def __init__(
        self,
        engine: AsyncEngine,
        roots: RootKeys,
        *,
        remembered: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.roots = engine, roots
        self._remembered, self._clock = remembered, clock
        self._keys: OrderedDict[UUID, tuple[Key, float]] = OrderedDict()
        self._destroyed: set[int] = set()
        self._noticed_s = -math.inf
        self._noticed_at: datetime | None = None

    async def of(self, subject: UUID) -> Key:
        """The person's key, to wrap something by; made and committed at first use. After a destruction this is a new
        one: the person has come back."""
        known = self._keys.get(subject)
        if known is not None and self._clock() - known[1] < USE_NOTED_EVERY_S:
            await self.notice_destroyed()
            if known[0].kid not in self._destroyed:
                self._keys.move_to_end(subject)
                return known[0]
        async with transaction(self.engine) as connection:
            found = (await connection.execute(_USE, {"of": subject})).first()
            row = found or await self._make(connection, subject)
        if found is None:
            fp("sk_created")
        return self._remember(row)

    async def find(self, subject: UUID, kid: int) -> Key:
        """Exactly this key, to open what it wrapped. Raises KeyDestroyed, KeyMissing, CannotOpen."""
        known = self._keys.get(subject)
        if known is not None and known[0].kid == kid and kid not in self._destroyed:
            return known[0]
        query = sa.select(subject_key).where(subject_key.c.kid == kid, subject_key.c.subject == subject)
        async with transaction(self.engine) as connection:
            row = (await connection.execute(query)).first() if kid <= LARGEST_KID else None
        if row is None:
            raise KeyMissing("the key of this person is not in the key database: is it older than the main database?")
        if row.wrapped is None:
            self._destroyed.add(kid)
            raise KeyDestroyed("the key of this person was destroyed")
        return self._unwrapped(row)

    async def destroy(self, subject: UUID) -> bool:
        """Returns after COMMIT, in which the secret is gone. False: there was none. What other processes remember they
        forget within `NOTICED_EVERY_S`. `shred` then takes the old bytes out of the database's files."""
        gone = (
            subject_key.update()
            .where(subject_key.c.subject == subject, subject_key.c.destroyed_at.is_(None))
            .values(wrapped=None, destroyed_at=sa.func.now())
            .returning(subject_key.c.kid)
        )
        async with transaction(self.engine) as connection:
            kids = (await connection.scalars(gone)).all()
        fp("sk_destroyed")
        self._forget(subject, kids)
        return bool(kids)

    async def shred(self) -> None:
        """Writes the table anew, so that no file of it holds a destroyed key any more. Seconds for a million keys; who
        asks for a key waits so long. The write-ahead log and copies of the database keep it as long as they live."""
        async with self.engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            for _ in range(MOST_LOOKS):  # what somebody can still see is copied along
                if not await alone.scalar(_ONLOOKERS):
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            await alone.exec_driver_sql("VACUUM (FULL) subject_key")

    async def notice_destroyed(self) -> None:
        """Asks, now and then, what other processes have destroyed."""
        now_s = self._clock()
        if now_s - self._noticed_s < NOTICED_EVERY_S:
            return
        self._noticed_s = now_s
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(_DESTROYED, {"since": self._noticed_at})).all()
        self._noticed_at = rows[0].at
        for row in rows:
            if row.kid is not None:
                self._forget(row.subject, [row.kid])

    def is_destroyed(self, kid: int) -> bool:
        """As far as this process has noticed."""
        return kid in self._destroyed

    async def check_root(self) -> None:
        """At the start. Raises BadRootKey for a root key with which this database's keys cannot be opened."""
        open_ones = sa.select(root_key.c.kid).where(root_key.c.state != "retired")
        async with transaction(self.engine) as connection:
            with contextlib.suppress(RootKeyAway):  # told below, with the words for an operator
                await current_root(connection, self.roots)
            kids = (await connection.scalars(open_ones)).all()
        if missing := [kid for kid in kids if not self.roots.holds(kid)]:
            raise BadRootKey(
                f"the key database needs root key {missing[0]:08x}, which is not here: bring that key back. "
                "If a rotation was under way, both files are needed until it has ended"
            )

    async def _make(self, connection: AsyncConnection, subject: UUID) -> Any:
        """Under the root key that is current at the commit: a rotation waits for us, or we wait for it."""
        root = await current_root(connection, self.roots)
        sealed = root.seal(new_secret(), where=place(subject))
        new = insert(subject_key).values(subject=subject, wrapped=sealed, root_kid=root.kid).on_conflict_do_nothing()
        await connection.execute(new)
        return (await connection.execute(_USE, {"of": subject})).one()

    def _unwrapped(self, row: Any) -> Key:
        if kid_of(row.wrapped) != row.root_kid:
            raise CannotOpen("the key of this person was changed")
        if not self.roots.holds(row.root_kid):
            raise RootKeyAway(f"root key {row.root_kid:08x} is not here")
        return Key(row.kid, self.roots.open(row.wrapped, where=place(row.subject)))

    def _remember(self, row: Any) -> Key:
        key = self._unwrapped(row)
        self._keys[row.subject] = key, self._clock()
        self._keys.move_to_end(row.subject)
        while len(self._keys) > self._remembered:
            self._keys.popitem(last=False)
        return key

    def _forget(self, subject: UUID, kids: Sequence[int]) -> None:
        self._destroyed.update(kids)
        known = self._keys.get(subject)
        if known is not None and known[0].kid in self._destroyed:
            del self._keys[subject]


async def current_root(connection: AsyncConnection, roots: RootKeys) -> Key:
    """The root key that wraps what is new; locked against a rotation until the transaction ends. The first one of a new
    key database is ours. Raises RootKeyAway."""
    kid: int | None = await connection.scalar(_CURRENT_ROOT)
    if kid is None:
        first = insert(root_key).values(kid=roots.first.kid, state="current").on_conflict_do_nothing()
        await connection.execute(first)
        kid = (await connection.scalars(_CURRENT_ROOT)).one()
    return roots.current(kid)
