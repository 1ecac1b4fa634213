"""What the queues do with rows that fail: nothing is given up because it had to wait, nothing that a customer wrote is
given up quietly, and a repeat under an old transaction id never carries something new."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.places import EditCard, PostCard
from messenger.app.effects.thread import RelayToThread
from messenger.app.outcome import Outcome
from messenger.app.records import InboxRow
from messenger.channels.errors import Rejected
from messenger.storage import leases
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.inbox import TRIES
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake
from tests.integration.staff_desk import DESK, StaffDesk, customer_says, staff_reacts, staff_says

BEN = "@ben:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    return desk


@pytest.fixture
async def queue(desk: StaffDesk) -> SqlOutboxQueue:
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    return SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)


async def test_a_row_that_has_waited_long_is_not_given_up_at_its_first_failure(desk: StaffDesk) -> None:
    row = await waiting_row(desk, tries=2 * TRIES)
    await SqlInboxQueue(desk.engine, desk.keys).give_back(row, "OurMistake", tries=TRIES)
    assert await desk.inbox_states("InboundMessage") == ["done", "new"]


async def test_a_row_that_keeps_failing_is_put_aside_where_a_person_finds_it(desk: StaffDesk) -> None:
    await desk.put(customer_says("$again", "x"))
    for _ in range(TRIES):
        await all_due(desk, inbox)
        async with desk.units() as unit:
            row = await unit.inbox.claim()
        assert row is not None
        await SqlInboxQueue(desk.engine, desk.keys).give_back(row, "OurMistake", tries=TRIES)
    assert await desk.inbox_states("InboundMessage") == ["done", "dead"]
    assert await dead_letters(desk) == [("inbox", "OurMistake")]


async def test_two_workers_that_fail_with_the_same_row_count_as_one_failure(desk: StaffDesk) -> None:
    row = await waiting_row(desk, tries=1)
    for _ in range(TRIES):
        await SqlInboxQueue(desk.engine, desk.keys).give_back(row, "OurMistake", tries=TRIES)
    assert await desk.inbox_states("InboundMessage") == ["done", "new"]


async def test_what_a_customer_wrote_is_found_again_when_the_homeserver_refuses_it(
    desk: StaffDesk, queue: SqlOutboxQueue
) -> None:
    await all_due(desk, outbox)
    worker = OutboxWorker(queue, Refusing(), device="D", wake=Wake(0.01), after=Wake(0.01))
    settling = asyncio.create_task(settle_for_ever(queue))
    while await states_of(desk, RelayToThread) == ["new"]:
        await worker.step()
        await worker.drain()
    settling.cancel()
    assert (await states_of(desk, PostCard), await states_of(desk, RelayToThread)) == (["dead"], ["dead"])
    assert await dead_letters(desk) == [("outbox", "blocked")] * 2


async def test_a_newer_state_is_not_sent_under_a_transaction_id_that_was_used(
    desk: StaffDesk, queue: SqlOutboxQueue
) -> None:
    await desk.put(staff_reacts(BEN, "👀"))
    await desk.work(1)
    await all_due(desk, outbox)
    [edit] = [row for row in await queue.claim(100) if isinstance(row.effect, EditCard)]
    await queue.retry(edit, timedelta(0), "unreachable")  # the answer was lost: the card may show the claim already
    await desk.put(staff_says(BEN, "!release"))
    await desk.work(1)
    assert await states_of(desk, EditCard) == ["new", "new"]
    await all_due(desk, outbox)
    assert [row.id for row in await queue.claim(100) if isinstance(row.effect, EditCard)] == [edit.id], "in order"


async def test_rows_that_do_not_open_stop_nobody_else(desk: StaffDesk, queue: SqlOutboxQueue) -> None:
    await desk.put(customer_says("$broken", "x"))
    await all_due(desk, outbox)
    async with desk.engine.begin() as connection:
        await connection.execute(inbox.update().where(inbox.c.state == "new").values(enc_body=b"broken"))
        await connection.execute(outbox.update().where(outbox.c.kind == "PostCard").values(enc_body=b"broken"))
    await desk.put(customer_says("$whole", "y"))
    assert await desk.work(1) == 2, "the whole one, and the word about the broken one"
    assert RelayToThread in [type(row.effect) for _ in range(2) for row in await queue.claim(100)]
    assert await dead_letters(desk) == [("inbox", "CannotOpen"), ("outbox", "CannotOpen")]


@pytest.mark.parametrize(("minutes", "patient"), [(9, True), (11, False)])
async def test_a_row_that_has_waited_for_ten_minutes_is_delivered_without_patience(
    desk: StaffDesk, queue: SqlOutboxQueue, minutes: int, patient: bool
) -> None:
    await all_due(desk, outbox)
    tried = sa.func.now() - timedelta(minutes=minutes)
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().where(outbox.c.kind == "PostCard").values(first_try_at=tried))
    delivered: list[tuple[str, bool]] = []
    worker = OutboxWorker(queue, Noting(delivered), device="D", wake=Wake(0.01), after=Wake(0.01))
    settling = asyncio.create_task(settle_for_ever(queue))
    await worker.step()
    await worker.drain()
    settling.cancel()
    assert ("PostCard", patient) in delivered


class Noting:
    """A deliverer that notes what it got, and whether it was to be patient."""

    def __init__(self, delivered: list[tuple[str, bool]], *, is_patient: bool = True) -> None:
        self._delivered, self._is_patient = delivered, is_patient

    def without_patience(self) -> "Noting":
        return Noting(self._delivered, is_patient=False)

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        self._delivered.append((type(effect).__name__, self._is_patient))
        return Outcome()


class Refusing:
    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        raise Rejected("blocked")


async def settle_for_ever(queue: SqlOutboxQueue) -> None:
    while True:
        await queue.step()


async def waiting_row(desk: StaffDesk, *, tries: int) -> InboxRow:
    """A message that came before its chat, as its worker holds it."""
    await desk.put(customer_says("$early", "x", chat="!not yet"))
    for _ in range(tries):
        await desk.work(1)
        await all_due(desk, inbox)
    async with desk.units() as unit:
        row = await unit.inbox.claim()
    assert row is not None and row.attempts == tries
    return row


async def all_due(desk: StaffDesk, queue: sa.Table) -> None:
    async with desk.engine.begin() as connection:
        past = sa.func.now() - timedelta(seconds=1)
        await connection.execute(queue.update().where(queue.c.state == "new").values(next_at=past))


async def states_of(desk: StaffDesk, kind: type[Effect]) -> list[str]:
    async with desk.engine.begin() as connection:
        query = sa.select(outbox.c.state).where(outbox.c.kind == kind.__name__).order_by(outbox.c.id)
        return list(await connection.scalars(query))


async def dead_letters(desk: StaffDesk) -> list[tuple[str, str]]:
    async with desk.engine.begin() as connection:
        query = sa.select(dead_letter.c.queue, dead_letter.c.reason).order_by(dead_letter.c.id)
        return [(row.queue, row.reason) for row in await connection.execute(query)]
