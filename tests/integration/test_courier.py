"""What a turn writes for a conversation's thread goes to the worker at once, already claimed, and never before its
turn: not while something is before it in its lane, not without the lease, and not if the turn was undone."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import Deliverer
from messenger.app.effects.thread import PostNotice, RelayToThread
from messenger.app.handle import handle_next
from messenger.app.outcome import Outcome
from messenger.app.ports import StorageAway
from messenger.app.records import OutboxRow
from messenger.storage import leases
from messenger.storage.courier import Courier
from messenger.storage.data_keys import DataKeys
from messenger.storage.models.queues import outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake
from tests.integration.staff_desk import DESK, StaffDesk, customer_says


class Hand:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.is_idle = True
        self.taken: list[OutboxRow] = []
        self.looks = 0

    def take(self, rows: Sequence[OutboxRow]) -> None:
        self.taken += rows

    def let_go(self, rows: Sequence[OutboxRow]) -> None:
        raise AssertionError("the database was there")

    def look(self) -> None:
        self.looks += 1


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    """With a conversation whose card and first message have been sent."""
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().values(state="sent"))
    return desk


@pytest.fixture
async def lease(desk: StaffDesk) -> leases.Lease:
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    return lease


@pytest.fixture
def hand(desk: StaffDesk, lease: leases.Lease) -> Hand:
    hand = Hand()
    desk.units.send_by(Courier(hand=hand, lease=lease, device="D"))
    return hand


@pytest.fixture
def queue(desk: StaffDesk, lease: leases.Lease) -> SqlOutboxQueue:
    return SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)


async def says(desk: StaffDesk, *texts: str) -> None:
    await desk.put(*(customer_says(f"${text}", text) for text in texts), lane="one")
    await desk.work(1)


async def relays(desk: StaffDesk) -> list[str]:
    query = sa.select(outbox.c.state).where(outbox.c.kind == "RelayToThread").order_by(outbox.c.id)
    async with desk.engine.begin() as connection:
        return [*await connection.scalars(query)][1:]


async def test_the_head_of_a_thread_goes_to_the_worker_as_a_row_that_it_has_claimed(
    desk: StaffDesk, hand: Hand, queue: SqlOutboxQueue
) -> None:
    await says(desk, "one")
    [row] = hand.taken
    assert isinstance(row.effect, RelayToThread)
    assert (row.attempts, row.device_id, await relays(desk)) == (1, "D", ["claimed"])
    assert [each.id for each in await queue.claim(9) if isinstance(each.effect, RelayToThread)] == []


async def test_what_waits_behind_another_row_of_its_lane_is_left_to_the_queue(desk: StaffDesk, hand: Hand) -> None:
    await says(desk, "one", "two")
    assert len(hand.taken) == 1
    assert hand.looks, "the worker is told that there is more"
    assert await relays(desk) == ["claimed", "new"]


async def test_what_one_turn_puts_into_a_lane_keeps_its_order(desk: StaffDesk, hand: Hand) -> None:
    """What could be carried second must see what was put first, while the worker was busy."""
    [conversation] = await desk.conversations()
    notice = PostNotice(conversation=conversation, text="S34.answer")
    async with desk.units() as unit:
        hand.is_idle = False
        await unit.outbox.put("first", [notice])
        hand.is_idle = True
        await unit.outbox.put("second", [notice])
    assert not hand.taken
    async with desk.engine.begin() as connection:
        states = [*await connection.scalars(sa.select(outbox.c.state).order_by(outbox.c.id))]
    assert states[-2:] == ["new", "new"]


async def test_whoever_ends_a_row_hears_whether_its_lane_has_more(
    desk: StaffDesk, hand: Hand, queue: SqlOutboxQueue
) -> None:
    await says(desk, "one", "two")
    [first] = hand.taken
    assert await _ended(queue, first)
    [second] = [row for row in await queue.claim(9) if isinstance(row.effect, RelayToThread)]
    assert not await _ended(queue, second)
    assert await relays(desk) == ["sent", "sent"]


async def test_a_claim_that_somebody_else_holds_now_is_not_settled(
    desk: StaffDesk, hand: Hand, queue: SqlOutboxQueue
) -> None:
    await says(desk, "one")
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().values(claim_token=sa.func.gen_random_uuid()))
    assert await _ended(queue, hand.taken[0]), "it is looked after"
    assert await relays(desk) == ["claimed"]


async def test_without_an_idle_hand_nothing_is_claimed_and_without_the_lease_nothing_is_handled(
    desk: StaffDesk, hand: Hand
) -> None:
    hand.is_idle = False
    await says(desk, "one")
    assert (hand.taken, await relays(desk)) == ([], ["new"])
    async with desk.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE lease SET epoch = epoch + 1"))
    hand.is_idle = True
    await says(desk, "two")
    assert (hand.taken, await relays(desk)) == ([], ["new"])


async def test_a_turn_that_is_undone_hands_nothing_over(desk: StaffDesk, hand: Hand) -> None:
    [id] = await desk.conversations()
    with pytest.raises(ZeroDivisionError):
        await _undone(desk, RelayToThread(conversation=id, message=desk.namespace))
    assert (hand.taken, hand.looks, await relays(desk)) == ([], 0, [])


async def test_a_row_says_whether_anything_else_was_due(desk: StaffDesk) -> None:
    await desk.put(customer_says("$one", "one"), customer_says("$two", "two"))
    await desk.put(customer_says("$three", "three"), customer_says("$four", "four"), lane="same")
    rows = [await handle_next(desk.units) for _ in range(4)]
    assert [row.is_last for row in rows if row] == [False, False, False, True]


async def test_a_claim_in_doubt_is_given_back(desk: StaffDesk, hand: Hand, queue: SqlOutboxQueue) -> None:
    """The database went away while the turn was committed; its rows may be there or not."""
    await says(desk, "one")
    worker = OutboxWorker(queue, Deliverer(None), device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    worker.let_go(hand.taken)
    assert hand.taken[0].id in [row.id for row in await queue.claim(9)]


async def test_a_claim_whose_rows_could_not_be_opened_is_freed_before_the_next(
    desk: StaffDesk, queue: SqlOutboxQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await says(desk, "one")
    with monkeypatch.context() as away:
        away.setattr(DataKeys, "open", _is_away)
        with pytest.raises(StorageAway):
            await queue.claim(9)
    assert RelayToThread in [type(row.effect) for row in await queue.claim(9)]


async def _is_away(self: DataKeys, record: bytes, *, where: str) -> bytes:
    raise StorageAway("the database")


async def _undone(desk: StaffDesk, effect: RelayToThread) -> None:
    async with desk.units() as unit:
        await unit.outbox.put("x", [effect])
        raise ZeroDivisionError


async def _ended(queue: SqlOutboxQueue, row: OutboxRow) -> bool:
    has_more, _ = await asyncio.gather(queue.end(row, state="sent", outcome=Outcome()), queue.step())
    return has_more
