"""Is this database the one and only that a desk has? Three things tell: a row that no backup holds, a mark that only
grows and is kept at the homeserver too, and the epoch of the lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.storage.leases import Lease, fence
from messenger.storage.models.conversations import remote_message
from messenger.storage.models.disaster import living_desk
from messenger.storage.models.queues import desk, inbox, lease, outbox
from messenger.storage.models.rights import erasure


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """(room, event) of some messages, and when the oldest of them came; None: there are no more."""

    events: Sequence[tuple[str, str]]
    since: datetime | None


async def is_alive(engine: AsyncEngine, account: str) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(sa.select(sa.exists().where(living_desk.c.account == account))))


async def give_life(connection: AsyncConnection, account: str) -> None:
    await connection.execute(insert(living_desk).values(account=account).on_conflict_do_nothing())


async def raise_epoch(engine: AsyncEngine, held: Lease) -> Lease:
    """Beyond every epoch that a process of before the restore may hold: there has been less than one change of owner
    for each second since 1970."""
    epoch = sa.func.greatest(lease.c.epoch + 1, sa.cast(sa.func.extract("epoch", sa.func.now()), sa.BigInteger))
    mine = lease.update().where(lease.c.resource == held.resource, lease.c.epoch == held.epoch)
    async with engine.begin() as connection:
        new = (await connection.execute(mine.values(epoch=epoch).returning(lease.c.epoch))).scalar_one()
    return Lease(held.resource, held.owner, int(new))


async def mark_of(engine: AsyncEngine, account: str) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.select(desk.c.mark).where(desk.c.account == account)) or 0)


async def raise_mark(engine: AsyncEngine, held: Lease, account: str, *, beyond: int = 0) -> int:
    """The next mark, above `beyond` too. Committed when this returns: the homeserver hears of it afterwards. Raises
    LeaseLost."""
    async with engine.begin() as connection:
        await fence(connection, held)
        new = sa.func.greatest(desk.c.mark, beyond) + 1
        changed = desk.update().where(desk.c.account == account).values(mark=new).returning(desk.c.mark)
        return int((await connection.execute(changed)).scalar_one())


async def activity(engine: AsyncEngine) -> tuple[int, int, int]:
    """Grows with everything that comes or leaves, and the last with every line of the erasure ledger."""
    columns = (inbox.c.id, outbox.c.id, erasure.c.ledger_position)
    async with engine.connect() as connection:
        row = await connection.execute(sa.select(*(sa.select(sa.func.max(each)).scalar_subquery() for each in columns)))
    came, left, erased = (int(value or 0) for value in row.one())
    return came, left, erased


async def newest_work(engine: AsyncEngine) -> datetime | None:
    """When the database last heard or wanted to say something."""
    newest = sa.func.greatest(
        sa.select(sa.func.max(inbox.c.received_at)).scalar_subquery(),
        sa.select(sa.func.max(outbox.c.made_at)).scalar_subquery(),
    )
    async with engine.connect() as connection:
        found: datetime | None = await connection.scalar(sa.select(newest))
    return found


async def known_events(engine: AsyncEngine, account: str, *, most: int, skip: int = 0) -> Known:
    """Of the messages that came last: the event itself and the copies that we made of it."""
    newest = (
        sa.select(inbox.c.id, inbox.c.received_at, remote_message.c.message_id)
        .join(
            remote_message,
            sa.and_(remote_message.c.account == inbox.c.source, remote_message.c.remote_id == inbox.c.source_id),
        )
        .where(inbox.c.source == account, remote_message.c.message_id.is_not(None))
        .order_by(inbox.c.id.desc())
        .limit(most)
        .offset(skip)
        .subquery()
    )
    copies = sa.select(remote_message.c.room, remote_message.c.remote_id).where(
        remote_message.c.account == account, remote_message.c.message_id.in_(sa.select(newest.c.message_id))
    )
    async with engine.connect() as connection:
        since: datetime | None = await connection.scalar(sa.select(sa.func.min(newest.c.received_at)))
        events = [(row.room, row.remote_id) for row in await connection.execute(copies)]
    return Known(events=events, since=since)
