"""Clocks jump by an hour while the program works: the program's own, and the database's."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.thread import RelayToThread
from messenger.demo.synapse import Synapse
from messenger.storage.clock import QueueClock
from messenger.storage.models.queues import inbox, outbox, timer
from tests.integration.staff_desk import StaffDesk, customer_says
from tests.integration.staff_house import open_house
from tests.support.databases import TestDatabases
from tests.support.waiting import eventually

HOUR_S = 3600


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


async def test_a_clock_that_is_set_forward_moves_nothing(database: AsyncEngine) -> None:
    steady = float(HOUR_S)
    clock = QueueClock(database, steady=lambda: steady)
    await clock.look()
    steady -= HOUR_S
    assert not await clock.look()
