"""A pause in the real database: its timer is there, and whatever ends it ends it once."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.thread import PostPack
from messenger.domain.conversation import State, fold
from messenger.domain.events import ConversationResumed
from messenger.domain.ids import ConversationId
from messenger.observability.time import utc_now
from messenger.queries.conversations import conversations
from messenger.storage.timers import fire_due
from tests.integration.staff_desk import StaffDesk, customer_says, staff_says

BEN, EVA = "@ben:x", "@eva:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


async def resting(desk: StaffDesk, asked: str) -> ConversationId:
    id = await desk.set_up([BEN, EVA])
    for text in ("!claim", asked):
        await desk.put(staff_says(BEN, text))
        await desk.work(1)
    state, _ = await desk.state_and_log(id)
    assert state.state is State.PAUSED
    return id


async def resumed(desk: StaffDesk, id: ConversationId) -> list[str]:
    """Why it was resumed, each time."""
    state, log = await desk.state_and_log(id)
    assert state.state is State.OPEN and fold(log) == state
    return [entry.event.cause for entry in log if isinstance(entry.event, ConversationResumed)]


async def test_the_time_ends_a_pause_once(desk: StaffDesk) -> None:
    id = await resting(desk, "!pause 2h the lab calls back")
    assert await fire_due(desk.engine, desk.keys) == 0, "it is not due yet"
    later = utc_now() + timedelta(hours=3)
    assert [await fire_due(desk.engine, desk.keys, at=later) for _ in range(2)] == [1, 0]
    await desk.work(2)
    assert await resumed(desk, id) == ["time"]
    packs = [each for each in await desk.effects() if isinstance(each, PostPack) and each.cause == "time"]
    assert len(packs) == 1


async def test_the_customer_ends_a_pause_and_its_timer_then_does_nothing(desk: StaffDesk) -> None:
    id = await resting(desk, "!pausieren 2 Std Rückruf des Labors")
    await desk.put(customer_says("$second", "I have the result here"))
    await desk.work(1)
    await fire_due(desk.engine, desk.keys, at=utc_now() + timedelta(hours=3))
    await desk.work(1)
    assert await resumed(desk, id) == ["customer"]


async def test_a_colleague_ends_a_pause_and_has_the_conversation(desk: StaffDesk) -> None:
    id = await resting(desk, "!暂停 2小时 等待报告")
    await desk.put(staff_says(EVA, "!resume"))
    await desk.work(1)
    assert await resumed(desk, id) == ["agent"]
    state, _ = await desk.state_and_log(id)
    async with desk.units.look() as unit:
        assert state.owner is not None
        assert (await unit.people.agent(state.owner)).address == EVA


async def test_lists_say_what_ends_a_pause_and_how_a_conversation_ended(desk: StaffDesk) -> None:
    await resting(desk, "!pause 2h the lab calls back")
    (row,) = await conversations(desk.engine, state="paused", group=None, limit=5)
    assert row.paused_until is not None and set(row.wake_on) == {"time", "customer"}
    assert row.wakes == f"{row.paused_until.astimezone():%Y-%m-%d %H:%M}, customer" and row.resolved == ""
    await desk.put(staff_says(BEN, "!resolve"))
    await desk.work(1)
    (row,) = await conversations(desk.engine, state="resolved", group=None, limit=5)
    assert (row.wakes, row.paused_until, row.resolution) == ("", None, "solved")
    assert row.resolved.endswith(", solved")
