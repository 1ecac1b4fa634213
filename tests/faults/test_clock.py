"""Clocks jump by an hour while the program works: the program's own, and the database's."""

import math
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.thread import RelayToThread
from messenger.demo.synapse import Synapse
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.clock import QueueClock
from messenger.storage.models.queues import inbox, outbox, timer
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.unit_of_work import SqlUnits
from tests.integration.staff_desk import DESK, StaffDesk, customer_says
from tests.integration.staff_house import open_house
from tests.support.databases import TestDatabases
from tests.support.waiting import eventually

HOUR_S, HOLD_S, LOOKS_EVERY_S = 3600, 60, 4
BEN = "@ben:x"


@pytest.mark.long  # it starts the program twice
async def test_a_clock_that_jumps_while_the_program_works_delays_nothing(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases
) -> None:
    wrong_by = tmp_path / "clock"
    wrong_by.write_text("0")
    async with open_house(tmp_path, synapse, test_databases, staff=["ben"]) as house:
        await house.product.stop()
        await house.product.start(program=("-m", "tests.faults.jumping"), environment={"CLOCK_FILE": str(wrong_by)})
        thread = await house.conversation(owner=house.ben)
        for seconds in (HOUR_S, -HOUR_S, 0):
            wrong_by.write_text(str(seconds))
            await thread.customer.say(thread.chat, f"question at {seconds}")
            await thread.told(house.ben, f"question at {seconds}")
            await thread.say(house.ben, f"answer at {seconds}")
            await thread.received(f"answer at {seconds}")
        wrong_by.write_text(str(HOUR_S))
        newcomer = await house.conversation("Hello from an hour ahead", owner=house.ben)
        await newcomer.say(house.ben, "!pause 2h")
        await newcomer.told(house.ben, "Paused")
        async with house.product.admin() as admin, admin._engine.begin() as connection:
            waits = await connection.scalar(sa.select(timer.c.due_at - sa.func.now()).where(timer.c.kind == "wake"))
        assert waits is not None and timedelta(hours=1, minutes=50) < waits <= timedelta(hours=2)


async def test_a_database_whose_clock_is_set_back_goes_on_with_what_waits(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    steady = 0.0
    clock = QueueClock(database, steady=lambda: steady)
    assert not await clock.look() and not await clock.look()
    await desk.put(customer_says("$later", "Waiting a little"))
    async with database.begin() as connection:  # as if an hour ago it had been an hour later
        for table in (inbox, outbox):
            await connection.execute(table.update().values(next_at=sa.func.now() + timedelta(hours=1)))
    assert await desk.work(1) == 0
    steady += HOUR_S
    assert await clock.look()
    await eventually(lambda: desk.work(1), what="it is due, as long after the look as it came after the one before")
    async with database.begin() as connection:
        late = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.next_at > sa.func.now())
        assert await connection.scalar(late) == 0
    assert [each for each in await desk.effects() if isinstance(each, RelayToThread)]


class HoldWindow:
    """An answer that is held for some seconds, between a clock of the database and one that goes on evenly."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.desk, self.behind_s = StaffDesk(engine), 0.0
        self.clock = QueueClock(engine, steady=self.steady)

    def steady(self) -> float:
        return time.monotonic() - self.behind_s

    async def open(self) -> None:
        await self.desk.set_up([BEN], hold_seconds=HOLD_S)
        await self.desk.says(BEN, "!claim")
        await self.clock.look()
        lease = await leases.acquire(self.desk.engine, f"desk:{DESK}", "test", timedelta(days=1))
        assert lease is not None
        self.queue = SqlOutboxQueue(
            self.desk.engine, self.desk.keys, desk=DESK, device="D", lease=lease, latest=self._latest
        )
        async with self.desk.engine.begin() as connection:  # the greeting before them in the lane
            await connection.execute(outbox.update().where(outbox.c.message_id.is_(None)).values(state="sent"))

    def _latest(self) -> datetime | None:
        return self.clock.latest()

    async def says(self, text: str) -> None:
        await self.desk.says(BEN, text)

    async def jumps(self, seconds: float) -> None:
        """The database's clock cannot be set here: so all else becomes older, or younger, by as much."""
        self.behind_s += seconds
        async with self.desk.engine.begin() as connection:
            moved = {name: outbox.c[name] - timedelta(seconds=seconds) for name in ("made_at", "next_at")}
            await connection.execute(outbox.update().where(outbox.c.message_id.is_not(None)).values(**moved))

    async def passes(self, seconds: float) -> None:
        await self.jumps(seconds)
        self.behind_s -= seconds

    async def waits(self) -> list[int]:
        """So many seconds, of each answer that nobody has tried to send."""
        left = sa.func.extract("epoch", outbox.c.next_at - sa.func.clock_timestamp())
        query = sa.select(left).where(outbox.c.message_id.is_not(None), outbox.c.state == "new")
        async with self.desk.engine.begin() as connection:
            return [math.ceil(each) for each in await connection.scalars(query.order_by(outbox.c.id))]

    async def leaves(self) -> int:
        return sum(isinstance(row.effect, SendToCustomer) for row in await self.queue.claim(100))


@pytest.fixture
async def window(database: AsyncEngine) -> HoldWindow:
    window = HoldWindow(database)
    await window.open()
    return window


NEARLY = range(HOLD_S - 15, HOLD_S + 1)  # a loaded machine


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S, 30 * 24 * HOUR_S, 2 * HOLD_S, -2 * HOLD_S])
async def test_a_hold_window_is_neither_cut_nor_drawn_out_by_a_jump_of_the_databases_clock(
    window: HoldWindow, seconds: int
) -> None:
    await window.says("said before it")
    await window.jumps(seconds)
    assert await window.leaves() == 0, "before anybody has looked"
    await window.says("said after it")
    assert await window.leaves() == 0
    assert await window.clock.look()
    assert await window.leaves() == 0
    before, after = await window.waits()
    assert before in NEARLY and after in NEARLY
    assert not await window.clock.look(), "once"
    await window.passes(HOLD_S)
    assert await window.leaves() == 1, "the first of the lane"


@pytest.mark.parametrize("seconds", [-HOUR_S, -2 * HOLD_S])
async def test_a_clock_that_was_set_back_while_the_program_was_down_delays_no_answer(
    window: HoldWindow, seconds: int
) -> None:
    await window.says("said before it")
    await window.jumps(seconds)
    window.clock = QueueClock(window.desk.engine, steady=window.steady)
    await window.clock.look()
    assert (await window.waits())[0] in NEARLY


@pytest.mark.parametrize("drift", [0.1, -0.1])
async def test_a_clock_of_the_database_that_drifts_cuts_and_draws_out_a_hold_window_by_its_drift_only(
    window: HoldWindow, drift: float
) -> None:
    async def pass_by(seconds: int) -> None:
        for _ in range(0, seconds, LOOKS_EVERY_S):
            await window.passes(LOOKS_EVERY_S)
            await window.jumps(LOOKS_EVERY_S * drift)
            assert not await window.clock.look(), "that is no jump"

    await window.says("said before it")
    await pass_by(HOLD_S - 16)
    assert await window.leaves() == 0
    await pass_by(24)
    assert await window.leaves() == 1


def _clock_that_is_wrong(hours: int) -> datetime:
    return utc_now() + timedelta(hours=hours)


async def test_the_programs_own_clock_changes_no_hold_window(window: HoldWindow) -> None:
    desk = window.desk
    for hours in (-24, 24):
        desk.units = SqlUnits(
            desk.engine, desk.keys, namespace=desk.namespace, desk=DESK, clock=partial(_clock_that_is_wrong, hours)
        )
        await window.says(f"said {hours} hours away")
    assert all(each in NEARLY for each in await window.waits()) and len(await window.waits()) == 2
    assert await window.leaves() == 0


async def test_an_answer_that_takes_long_to_measure_is_no_jump(window: HoldWindow) -> None:
    await window.says("said before it")
    times = iter([0.0, 0.1, 5.0, 65.0])
    clock = QueueClock(window.desk.engine, steady=lambda: next(times))
    assert not await clock.look() and not await clock.look()
    assert (await window.waits())[0] in NEARLY


async def test_a_clock_that_is_set_forward_delays_nothing_else(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    steady = 0.0
    clock = QueueClock(database, steady=lambda: steady)
    await clock.look()
    async with database.begin() as connection:
        before = (await connection.execute(sa.select(outbox.c.next_at).order_by(outbox.c.id))).all()
    steady -= HOUR_S
    assert await clock.look()
    async with database.begin() as connection:
        assert (await connection.execute(sa.select(outbox.c.next_at).order_by(outbox.c.id))).all() == before
