"""The demonstration's week: everything recorded becomes older, nothing else changes, and what was due then happens."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.audit import audit
from messenger.demo import time_machine
from messenger.demo.actor import StoryBroke
from messenger.demo.time_machine import go_on
from messenger.domain.conversation import State, fold
from messenger.domain.events import ConversationPaused, ConversationResumed
from messenger.observability.time import utc_now
from messenger.storage.models import whole_schema
from messenger.storage.models.audit import audit as audit_log
from messenger.storage.models.audit import audit_head
from messenger.storage.models.queues import inbox, lease, outbox
from messenger.storage.timers import fire_due
from tests.integration.staff_desk import StaffDesk, staff_says

BEN, WEEK = "@ben:x", timedelta(days=7)


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


async def nothing_on_its_way(desk: StaffDesk) -> None:
    async with desk.engine.begin() as connection:
        for queue in (inbox, outbox):
            await connection.execute(queue.update().values(state="done" if queue is inbox else "sent"))


async def moments(desk: StaffDesk) -> dict[str, list[datetime | None]]:
    """Every time in the database but those of leases and of the audit log, by table."""
    found: dict[str, list[datetime | None]] = {}
    async with desk.engine.begin() as connection:
        for table in whole_schema().sorted_tables:
            columns = [column for column in table.columns if isinstance(column.type, sa.DateTime)]
            if columns and table.name not in (lease.name, audit_log.name, audit_head.name):
                rows = await connection.execute(sa.select(*columns).order_by(*columns))
                found[table.name] = [value for row in rows for value in row]
    return found


async def test_everything_recorded_becomes_older_by_the_same_time(desk: StaffDesk) -> None:
    await desk.set_up([BEN])
    await nothing_on_its_way(desk)
    before = await moments(desk)
    await go_on(desk.engine, WEEK)
    assert {"conversation", "event_log", "message", "outbox", "inbox", "staff"} <= {
        key for key in before if before[key]
    }
    assert await moments(desk) == {name: [at and at - WEEK for at in each] for name, each in before.items()}


async def test_the_audit_log_keeps_its_times(desk: StaffDesk) -> None:
    """It is chained: nobody changes what it says of the past."""
    await desk.set_up([BEN])
    async with desk.units() as unit:
        audit(unit, actor="admin", action="conversation.show", object="conversation:1", purpose="serve")
    await nothing_on_its_way(desk)
    query = sa.select(audit_log.c.seq, audit_log.c.at, audit_log.c.mac)
    async with desk.engine.begin() as connection:
        before = (await connection.execute(query)).all()
    await go_on(desk.engine, WEEK)
    async with desk.engine.begin() as connection:
        assert before and (await connection.execute(query)).all() == before


async def test_a_pause_that_ends_meanwhile_ends_once_and_the_log_is_the_state(desk: StaffDesk) -> None:
    id = await desk.set_up([BEN])
    for text in ("!claim", "!pause 6 days the lab calls back"):
        await desk.put(staff_says(BEN, text))
        await desk.work(1)
    before, _ = await desk.state_and_log(id)
    await nothing_on_its_way(desk)
    await go_on(desk.engine, WEEK)
    state, log = await desk.state_and_log(id)
    assert fold(log) == state and state.is_paused
    paused = next(entry.event for entry in log if isinstance(entry.event, ConversationPaused))
    assert before.pause is not None and before.pause.until is not None
    assert paused.until == before.pause.until - WEEK < utc_now()
    assert [await fire_due(desk.engine, desk.keys) for _ in range(2)] == [1, 0]
    await desk.work(1)
    state, log = await desk.state_and_log(id)
    assert state.state is State.OPEN and fold(log) == state
    assert sum(isinstance(entry.event, ConversationResumed) for entry in log) == 1


async def test_the_present_stays_where_it_is(desk: StaffDesk) -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    async with desk.engine.begin() as connection:
        await connection.execute(lease.insert().values(resource="desk", owner="us", epoch=1, until=until))
    await go_on(desk.engine, WEEK)
    async with desk.engine.begin() as connection:
        assert await connection.scalar(sa.select(lease.c.until)) == until


async def test_time_does_not_pass_while_something_is_on_its_way(
    desk: StaffDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_machine, "PATIENCE_S", 0.2)
    await desk.set_up([BEN])
    before = await moments(desk)
    with pytest.raises(StoryBroke, match="on its way"):
        await go_on(desk.engine, WEEK)
    assert await moments(desk) == before
