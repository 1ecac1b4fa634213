"""What the queues do with rows that fail: nothing is given up because it had to wait, nothing that a customer wrote is
given up quietly, and a repeat under an old transaction id never carries something new."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.places import EditCard, PostCard
from messenger.app.effects.thread import RelayToThread
from messenger.app.outcome import Outcome
from messenger.app.records import InboxRow
from messenger.channels.errors import BadCredentials, ChannelError, Quota, Rejected, Temporary, Undecided
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.dead_letters import DeadLetters
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.inbox import TRIES
from messenger.workers.outbox import OutboxWorker
from messenger.workers.reach import LANES, Reach
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


async def test_the_first_that_gets_through_takes_everything_along_that_was_put_off(
    desk: StaffDesk, queue: SqlOutboxQueue
) -> None:
    """/sync goes on all the time, so that nothing else says that the homeserver is back."""
    for number in range(LANES):
        await desk.put(customer_says(f"$more{number}", "x", chat=f"!chat{number}:x", sender=f"@more{number}:x"))
    away = Failing(Temporary("unreachable"))
    worker = OutboxWorker(
        queue,
        away,
        device="D",
        wake=Wake(0.01),
        after=Wake(0.01),
        reach=Reach(away_s=0),  # type: ignore[arg-type]
    )
    await as_after_ten_minutes(desk)
    await carry_out(worker, queue)
    put_off = await seconds_put_off(desk)
    assert len(put_off) >= LANES and min(put_off) > 250
    away.error = None
    await first_due(desk)
    await carry_out(worker, queue)
    assert max(await seconds_put_off(desk), default=0) < 60


async def test_a_call_that_hung_while_the_homeserver_came_back_is_soon_made_again(
    desk: StaffDesk, queue: SqlOutboxQueue
) -> None:
    await as_after_ten_minutes(desk)
    worker = OutboxWorker(queue, Hanging(queue), device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    await carry_out(worker, queue)
    assert 0 < max(await seconds_put_off(desk)) < 60


async def test_what_fails_again_just_behind_an_outage_is_soon_tried_again(
    desk: StaffDesk, queue: SqlOutboxQueue
) -> None:
    await as_after_ten_minutes(desk)
    away = Failing(Temporary("unreachable"))
    worker = OutboxWorker(queue, away, device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    await carry_out(worker, queue)
    await queue.hurry()
    await carry_out(worker, queue)
    assert 0 < max(await seconds_put_off(desk)) < 60


DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    "error", [Temporary("unreachable"), Quota(scope="account", retry_after=timedelta(0))], ids=["away", "throttled"]
)
async def test_a_row_is_given_up_when_it_has_failed_for_a_day_and_not_because_it_is_old(
    desk: StaffDesk, queue: SqlOutboxQueue, error: Temporary
) -> None:
    worker = OutboxWorker(queue, Failing(error), device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    await only_the_card(desk, made_at=sa.func.now() - 3 * DAY)
    await carry_out(worker, queue)
    assert await states_of_cards(desk) == ["new"]
    await only_the_card(desk, failing_since=sa.func.now() - DAY - timedelta(minutes=1))
    await carry_out(worker, queue)
    assert await states_of_cards(desk) == ["dead"]
    async with desk.engine.begin() as connection:
        letter = int(await connection.scalar(sa.select(dead_letter.c.id)) or 0)
    await DeadLetters(desk.engine, desk.keys).retry(letter, by="operator", at=utc_now())
    await carry_out(worker, queue)
    assert await states_of_cards(desk) == ["new"], "from the beginning"


@pytest.mark.parametrize("error", [Undecided(retry_after=timedelta(0)), BadCredentials("auth")], ids=["trust", "token"])
async def test_what_waited_days_for_a_person_has_a_whole_day_afterwards(
    desk: StaffDesk, queue: SqlOutboxQueue, error: ChannelError
) -> None:
    failing = Failing(error)
    worker = OutboxWorker(queue, failing, device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
    await only_the_card(desk, failing_since=sa.func.now() - 3 * DAY)
    await carry_out(worker, queue)
    assert await states_of_cards(desk) == ["new"]
    failing.error = Temporary("unreachable")
    await only_the_card(desk)
    await carry_out(worker, queue)
    assert await states_of_cards(desk) == ["new"]


async def only_the_card(desk: StaffDesk, **values: Any) -> None:
    """Is due, and nothing else is there."""
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.delete().where(outbox.c.kind != "PostCard"))
        await connection.execute(outbox.update().values(next_at=sa.func.now(), **values))


async def states_of_cards(desk: StaffDesk) -> list[str]:
    async with desk.engine.begin() as connection:
        return list(await connection.scalars(sa.select(outbox.c.state).where(outbox.c.kind == "PostCard")))


async def carry_out(worker: OutboxWorker, queue: SqlOutboxQueue) -> None:
    """What is due now."""
    settling = asyncio.create_task(settle_for_ever(queue))
    await worker.step()
    await worker.drain()
    settling.cancel()


async def as_after_ten_minutes(desk: StaffDesk) -> None:
    """Tried after 0, 1, 6, 36 and 336 seconds, and due again."""
    await all_due(desk, outbox)
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().values(failures=5, attempts=5, code="unreachable"))


async def first_due(desk: StaffDesk) -> None:
    first = sa.select(sa.func.min(outbox.c.id)).where(outbox.c.state == "new").scalar_subquery()
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.update().where(outbox.c.id == first).values(next_at=sa.func.now()))


async def seconds_put_off(desk: StaffDesk) -> list[float]:
    """Of what was tried and waits."""
    wait = sa.extract("epoch", outbox.c.next_at - sa.func.now())
    async with desk.engine.begin() as connection:
        query = sa.select(wait).where(outbox.c.state == "new", outbox.c.code == "unreachable", wait > -1)
        return [float(each) for each in await connection.scalars(query)]


class Failing:
    """What stands between us and the reader, as long as there is an error."""

    def __init__(self, error: ChannelError) -> None:
        self.error: ChannelError | None = error

    def with_care(self) -> "Failing":
        return self

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        if self.error:
            raise self.error
        return Outcome()


class Hanging:
    """It is back while the call hangs, which fails for all that."""

    def __init__(self, queue: SqlOutboxQueue) -> None:
        self._queue = queue

    def with_care(self) -> "Hanging":
        return self

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        await self._queue.hurry()
        raise Temporary("unreachable")


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
