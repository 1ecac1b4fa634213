"""Leases with a fencing epoch: who may write for a desk. The database's clock alone says who that is; an owner's own
clock only makes it stop sooner (`Tenure`)."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.channels.errors import LeaseLost
from messenger.observability.failpoints import fp
from messenger.storage.database import at_once, fetch, transaction
from messenger.storage.models.queues import lease
from messenger.storage.statements import Statement

_FENCE = Statement(
    sa.select(lease.c.epoch)
    .where(lease.c.resource == sa.bindparam("which"), lease.c.epoch == sa.bindparam("mine"))
    .with_for_update(read=True)
)

# The fence as a part of a statement that is a transaction of its own: `held` has one row, or the lease is lost and the
# statement must write nothing.
HELD = "held AS MATERIALIZED (SELECT 1 FROM lease WHERE resource = :resource AND epoch = :epoch FOR SHARE)"


# The fence of a statement that begins what the same transaction commits within moments: it waits for nobody, so that a
# renewal never waits for those who read. A transaction that stands still is ended before a lease can be.
IS_HELD = "EXISTS (SELECT FROM lease WHERE resource = :resource AND epoch = :epoch)"
RENEWALS = 3  # in the time of a lease


@dataclass(frozen=True, slots=True)
class Lease:
    resource: str
    owner: str
    epoch: int


NO_LEASE = Lease("", "", 0)


def _boot_time() -> float:
    """Seconds; counts on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Tenure:
    """How long a lease is surely ours: since its last renewal was asked for, by a clock that counts on while the
    process stands still. Behind that nothing is begun before it is renewed again. In the beginning it is over."""

    def __init__(self, lasting_s: float, *, clock: Callable[[], float] = _boot_time) -> None:
        self._lasting_s, self._clock = lasting_s, clock
        self._renewed_at = -math.inf
        self._news, self._lost = asyncio.Event(), ""

    @property
    def is_over(self) -> bool:
        return self._clock() - self._renewed_at >= self._lasting_s

    async def assured(self) -> None:
        """Returns while the lease is ours. Raises LeaseLost."""
        while self.is_over:
            if self._lost:
                raise LeaseLost(self._lost)
            self._news.clear()
            await self._news.wait()

    async def renew(self, engine: AsyncEngine, held: Lease) -> None:
        """Raises LeaseLost, here and for those who wait."""
        asked_at = self._clock()
        try:
            await renew(engine, held, timedelta(seconds=self._lasting_s))
        except LeaseLost as lost:
            self._lost, self._renewed_at = str(lost), -math.inf
            raise
        else:
            self._renewed_at = asked_at
        finally:
            self._news.set()


async def acquire(engine: AsyncEngine, resource: str, owner: str, lasting: timedelta) -> Lease | None:
    """Takes a free or expired lease; None while somebody else holds it. Every change of owner raises the epoch. Raises
    StorageAway, also when an owner that stands still has the row locked."""
    until = sa.func.now() + lasting
    take = insert(lease).values(resource=resource, owner=owner, epoch=1, until=until)
    take_over = take.on_conflict_do_update(
        index_elements=[lease.c.resource],
        set_={"owner": owner, "epoch": lease.c.epoch + 1, "until": until},
        where=lease.c.until < sa.func.now(),
    ).returning(lease.c.epoch)
    async with transaction(engine) as connection:
        epoch = await connection.scalar(take_over)
    if epoch is None:
        return None
    fp("lease_taken")
    return Lease(resource, owner, epoch)


async def renew(engine: AsyncEngine, held: Lease, lasting: timedelta) -> None:
    """Raises LeaseLost if another owner has taken it."""
    mine = lease.update().where(lease.c.resource == held.resource, lease.c.epoch == held.epoch)
    async with at_once(engine) as connection:
        is_mine = (await connection.execute(mine.values(until=sa.func.now() + lasting))).rowcount
    if not is_mine:
        raise LeaseLost(held.resource)
    fp("lease_renewed")


async def release(engine: AsyncEngine, held: Lease) -> None:
    mine = lease.update().where(lease.c.resource == held.resource, lease.c.epoch == held.epoch)
    async with at_once(engine) as connection:
        await connection.execute(mine.values(until=sa.func.now() - timedelta(seconds=1)))


async def fence(connection: AsyncConnection, held: Lease) -> None:
    """The first statement of every transaction that writes for the resource."""
    if not await fetch(connection, _FENCE, {"which": held.resource, "mine": held.epoch}):
        raise LeaseLost(held.resource)
