"""Who may write: the holder of the lease, and of a row the holder of its claim. And nothing is open while something is
sent."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.desk_ports import CryptoRow
from messenger.app.effects.base import Effect
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.ports import StorageAway
from messenger.app.records import OutboxRow
from messenger.channels.errors import LeaseLost
from messenger.storage import leases
from messenger.storage.courier import Courier, NoHand
from messenger.storage.database import at_once, connect, guarded, transaction
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.encryption import Key, new_secret
from messenger.storage.models.queues import outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake, for_ever
from tests.integration.staff_desk import DESK, StaffDesk, customer_says
from tests.support.waiting import eventually

RESOURCE = f"desk:{DESK}"
LONG, OVER = timedelta(minutes=5), timedelta(seconds=-1)


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    return desk


async def leased(desk: StaffDesk, owner: str, lasting: timedelta = LONG) -> leases.Lease:
    lease = await leases.acquire(desk.engine, RESOURCE, owner, lasting)
    assert lease is not None
    return lease


def queue_of(desk: StaffDesk, lease: leases.Lease) -> SqlOutboxQueue:
    return SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)


async def rows(desk: StaffDesk) -> list[Mapping[str, Any]]:
    async with desk.engine.begin() as connection:
        found = await connection.execute(sa.select(outbox).order_by(outbox.c.id))
        return [dict(row._mapping) for row in found]


async def taken_over(desk: StaffDesk) -> None:
    """Time passes, and every claim is over."""
    async with desk.engine.begin() as connection:
        claimed = outbox.update().where(outbox.c.state == "claimed")
        await connection.execute(claimed.values(claimed_until=sa.func.now() - timedelta(seconds=1)))


async def test_who_has_lost_the_lease_writes_nothing(desk: StaffDesk) -> None:
    """What a process finds that was stopped for a minute: its lease is over, and somebody else has it."""
    lost = await leased(desk, "stopped", OVER)
    queue = queue_of(desk, lost)
    store = SqlDeskStore(desk.engine, desk.keys, account=DESK, key=Key(1, new_secret()), lease=lost)
    [row, *_] = await queue.claim(10)
    assert (await leased(desk, "standby")).epoch == lost.epoch + 1
    before = await rows(desk)
    settling = asyncio.create_task(queue.step())
    for attempt in (
        lambda: queue.claim(10),
        lambda: queue.retry(row, timedelta(0), "unreachable"),
        lambda: queue.end(row, state="sent", outcome=NOTHING),
        queue.hurry,
        lambda: store.save_ratchets([_ratchet()]),
        lambda: _writes(store),
        lambda: leases.renew(desk.engine, lost, LONG),
    ):
        with pytest.raises(LeaseLost):
            await attempt()
    await settling
    async with store.look() as stored:
        assert await stored.read("mx_megolm_out") == [], "who only reads needs no lease"
    assert await rows(desk) == before


async def _writes(store: SqlDeskStore) -> None:
    async with store.unit() as unit:
        await unit.set_cursor("a token of the past")


def _ratchet() -> CryptoRow:
    key, clear = {"room_id": "!r"}, {"session_id": "s", "messages": 1}
    return CryptoRow(table="mx_megolm_out", key=key, clear=clear, secret=b"a ratchet")


async def test_who_has_lost_the_lease_begins_no_turn(desk: StaffDesk) -> None:
    lost = await leased(desk, "stopped", OVER)
    held = await leased(desk, "standby")
    await desk.put(customer_says("$late", "Is anybody there?"))
    desk.units.send_by(Courier(hand=NoHand(), lease=lost, device="D"))
    assert await desk.work(1) == 0
    desk.units.send_by(Courier(hand=NoHand(), lease=held, device="D"))
    assert await desk.work(1) == 1


async def test_nothing_is_begun_until_a_lease_that_may_be_over_is_renewed(desk: StaffDesk) -> None:
    now, lease = 100.0, await leased(desk, "one")
    tenure = leases.Tenure(15.0, clock=lambda: now)
    engine = guarded(desk.engine, tenure.assured)
    assert tenure.is_over, "nothing is known yet"
    await tenure.renew(desk.engine, lease)
    assert await _asks(engine) == 1
    now += 15.0
    asking = asyncio.create_task(_asks(engine))
    for _ in range(9):
        await asyncio.sleep(0)
    assert not asking.done()
    await tenure.renew(desk.engine, lease)
    assert await asking == 1


async def test_who_waits_with_a_lost_lease_hears_that_it_is_lost(desk: StaffDesk) -> None:
    lost = await leased(desk, "stopped", OVER)
    tenure = leases.Tenure(15.0)
    asking = asyncio.create_task(_asks(guarded(desk.engine, tenure.assured)))
    await leased(desk, "standby")
    with pytest.raises(LeaseLost):
        await tenure.renew(desk.engine, lost)
    with pytest.raises(LeaseLost):
        await asking


async def test_a_transaction_that_stands_still_cannot_end_any_more(desk: StaffDesk, database_url: str) -> None:
    engine = connect(database_url, idle_s=0.1)
    with pytest.raises(StorageAway):
        await _stands_still(engine)
    await engine.dispose()


async def _stands_still(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await connection.execute(outbox.update().values(state="new"))
        await eventually(lambda: connection.driver.is_closed())


async def _asks(engine: AsyncEngine) -> int:
    async with at_once(engine) as connection:
        return int(await connection.scalar(sa.text("SELECT 1")))


async def test_a_claim_that_somebody_else_took_over_ends_nothing(desk: StaffDesk) -> None:
    queue = queue_of(desk, await leased(desk, "one"))
    first = (await queue.claim(10))[0]
    await taken_over(desk)
    second = next(row for row in await queue.claim(10) if row.id == first.id)
    assert first.token != second.token
    await queue.retry(first, timedelta(0), "unreachable")
    await _ends(queue, first, "failed")
    assert await _state_of(desk, first) == "claimed"
    await _ends(queue, second, "sent")
    assert await _state_of(desk, first) == "sent"


async def _ends(queue: SqlOutboxQueue, row: OutboxRow, state: str) -> None:
    await asyncio.gather(queue.end(row, state=state, outcome=NOTHING), queue.step())


async def _state_of(desk: StaffDesk, row: OutboxRow) -> str:
    return next(str(each["state"]) for each in await rows(desk) if each["id"] == row.id)


_OPEN_ONES = sa.text("""
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend' AND xact_start IS NOT NULL""")


class Looking:
    """A deliverer that looks, from outside, at what is open in the database while it sends."""

    def __init__(self, desk: StaffDesk) -> None:
        self.desk, self.seen, self._turn = desk, list[tuple[int, bool]](), asyncio.Lock()

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        async with self._turn, self.desk.engine.begin() as connection:
            open_ones = await connection.scalar(_OPEN_ONES)
            tried = await connection.scalar(sa.select(outbox.c.attempts).where(outbox.c.txn == txn))
        self.seen.append((int(open_ones or 0), tried == 1))
        return NOTHING


async def test_no_transaction_is_open_while_something_is_sent(desk: StaffDesk) -> None:
    """And the claim is there for everybody to see."""
    queue, looking = queue_of(desk, await leased(desk, "one")), Looking(desk)
    worker = OutboxWorker(queue, looking, device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    settling = asyncio.create_task(for_ever("settle", queue.step))
    await worker.step()
    await worker.drain()
    settling.cancel()
    assert looking.seen[0] == (0, True)  # later ones may meet the end of an earlier one


async def test_nothing_is_sent_before_the_worker_may_begin(desk: StaffDesk) -> None:
    queue, looking, wake = queue_of(desk, await leased(desk, "one")), Looking(desk), Wake(0.01)
    worker = OutboxWorker(queue, looking, device="D", wake=wake, after=Wake(0.01), has_begun=False)  # type: ignore[arg-type]
    await worker.step()
    assert not worker.is_idle and not looking.seen
    settling = asyncio.create_task(for_ever("settle", queue.step))
    worker.begin()
    await worker.step()
    await worker.drain()
    settling.cancel()
    assert looking.seen


async def test_a_try_that_ended_with_its_process_is_no_failure(desk: StaffDesk) -> None:
    """So that what is sent first after many kills does not wait for minutes when the homeserver is slow once."""
    queue = queue_of(desk, await leased(desk, "one"))
    for _ in range(4):
        killed = (await queue.claim(10))[0]
        await taken_over(desk)
    row = next(each for each in await queue.claim(10) if each.id == killed.id)
    assert (row.attempts, row.failures) == (5, 0)
    await queue.retry(row, timedelta(0), "unreachable")
    again = next(each for each in await queue.claim(10) if each.id == killed.id)
    assert (again.attempts, again.failures) == (6, 1)
