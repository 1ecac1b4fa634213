"""What nothing needs any more goes: words at once, rows that guard against repeats after a month, keys when nothing
hangs on them. What is still needed stays."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.outcome import NOTHING
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.data_keys import day_subject
from messenger.storage.endings import Ending, settle
from messenger.storage.models.crypto import mx_megolm
from messenger.storage.models.keys import data_key
from messenger.storage.models.queues import inbox, megolm_seen, outbox
from messenger.storage.models.subject_keys import subject_key
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.storage.retention import Retention
from messenger.storage.sweep import Swept, sweep
from tests.integration.staff_desk import DESK, StaffDesk, customer_says

BEN = "@ben:x"


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    return desk


async def column(desk: StaffDesk, wanted: Any) -> Sequence[Any]:
    async with desk.engine.begin() as connection:
        return (await connection.scalars(sa.select(wanted))).all()


async def make_older(desk: StaffDesk, table: Table, *columns: str, by: timedelta) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(table.update().values({name: table.c[name] - by for name in columns}))


async def end_all(desk: StaffDesk, table: Table, state: str) -> None:
    async with desk.engine.begin() as connection:
        await connection.execute(table.update().values(state=state))


async def test_a_handled_item_leaves_its_id_and_no_words(desk: StaffDesk) -> None:
    assert set(await column(desk, inbox.c.state)) == {"done"}
    assert set(await column(desk, inbox.c.enc_body)) == {b""}
    assert all(await column(desk, inbox.c.source_id))


async def test_what_is_not_handled_keeps_its_words(desk: StaffDesk) -> None:
    await desk.put(customer_says("$waiting", "x"))
    assert len([body for body in await column(desk, inbox.c.enc_body) if body]) == 1


@pytest.mark.parametrize(("days", "bodies", "rows"), [(1, 0, 0), (3, 1, 0), (31, 1, 1)])
async def test_a_sent_row_loses_its_words_then_goes(desk: StaffDesk, days: int, bodies: int, rows: int) -> None:
    await end_all(desk, outbox, "sent")
    await make_older(desk, outbox, "next_at", by=timedelta(days=days))
    before = len(await column(desk, outbox.c.id))
    swept = await sweep(desk.engine, desk.keys)
    assert (bool(swept.bodies), bool(swept.outbox)) == (bool(bodies), bool(rows))
    assert len(await column(desk, outbox.c.id)) == (0 if rows else before)


async def test_a_row_that_was_made_long_ago_and_sent_just_now_keeps_its_txn_and_its_words(desk: StaffDesk) -> None:
    """As a file that waits for the virus scanner, or an answer that waits for a person."""
    await make_older(desk, outbox, "made_at", "next_at", by=timedelta(days=40))
    await send_all(desk)
    txns = await column(desk, outbox.c.txn)
    swept = await sweep(desk.engine, desk.keys)
    await Retention(desk.engine, desk.keys).run(utc_now())
    assert (swept.bodies, swept.outbox) == (0, 0) and await column(desk, outbox.c.txn) == txns


async def send_all(desk: StaffDesk) -> None:
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)
    while rows := await queue.claim(10):
        endings = [Ending(row=row, state="sent", outcome=NOTHING) for row in rows]
        async with desk.engine.begin() as connection:
            await settle(connection, desk.keys, endings, lease)


async def test_an_item_that_came_long_ago_and_was_handled_just_now_keeps_its_id(desk: StaffDesk) -> None:
    await desk.put(customer_says("$late", "x"), lane="late")
    await make_older(desk, inbox, "received_at", "next_at", by=timedelta(days=40))
    await desk.work(1)
    await sweep(desk.engine, desk.keys)
    await Retention(desk.engine, desk.keys).run(utc_now())
    assert await column(desk, inbox.c.lane) == ["late"]


async def test_what_waits_is_never_swept_however_old(desk: StaffDesk) -> None:
    await desk.put(customer_says("$waiting", "x"))
    await make_older(desk, outbox, "made_at", "next_at", by=timedelta(days=400))
    await make_older(desk, inbox, "received_at", "next_at", by=timedelta(days=400))
    waiting = len(await column(desk, outbox.c.id))
    await sweep(desk.engine, desk.keys)
    assert len(await column(desk, outbox.c.id)) == waiting
    assert await column(desk, inbox.c.state) == ["new"]


async def test_a_ciphertext_is_remembered_as_long_as_its_room_key(desk: StaffDesk) -> None:
    seen = {"account": DESK, "room_id": "!r", "sender_key": "k", "idx": 0, "event_id": "$e"}
    held = {"account": DESK, "room_id": "!r", "session_id": "held", "sender_key": "k", "first_index": 0}
    async with desk.engine.begin() as connection:
        await connection.execute(megolm_seen.insert(), [{**seen, "session_id": id} for id in ("held", "gone")])
        await connection.execute(mx_megolm.insert().values({**held, "ed25519": "e", "received_ms": 0}))
    assert (await sweep(desk.engine, desk.keys)).seen == 1
    assert await column(desk, megolm_seen.c.session_id) == ["held"]


async def test_the_key_of_a_past_day_is_destroyed_when_nothing_waits_under_it(desk: StaffDesk) -> None:
    await desk.put(customer_says("$waiting", "x"))
    past = date(2026, 1, 2)
    await _as_of(desk, past)
    assert (await sweep(desk.engine, desk.keys)).queue_keys == 0, "outbox and inbox still need it"
    async with desk.engine.begin() as connection:
        await connection.execute(outbox.delete())
        await connection.execute(inbox.delete())
    assert (await sweep(desk.engine, desk.keys)).queue_keys == 1
    gone = sa.select(subject_key.c.wrapped).where(subject_key.c.subject == day_subject(past))
    async with desk.engine.begin() as connection:
        assert (await connection.scalars(gone)).all() == [None]


async def test_a_key_that_wraps_nothing_goes_after_a_week(desk: StaffDesk) -> None:
    orphan = uuid4()
    await desk.keys.subjects.of(orphan)
    needed = len(await column(desk, subject_key.c.kid)) - 1
    assert (await sweep(desk.engine, desk.keys)).orphans == 0
    await make_older(desk, subject_key, "used_at", by=timedelta(days=8))
    assert (await sweep(desk.engine, desk.keys)).orphans == 1
    assert orphan not in await column(desk, subject_key.c.subject)
    assert len(await column(desk, subject_key.c.kid)) == needed
    assert await sweep(desk.engine, desk.keys) == Swept(
        bodies=0, outbox=0, inbox=0, floods=0, seen=0, sent_before=0, queue_keys=0, orphans=0
    )


async def _as_of(desk: StaffDesk, day: date) -> None:
    """Today's key becomes one of that day."""
    async with desk.engine.begin() as connection:
        row = (await connection.execute(sa.select(data_key).where(data_key.c.scope.like("queue:%")))).one()
        values = {"scope": f"queue:{day.isoformat()}", "subject": day_subject(day)}
        await connection.execute(data_key.update().where(data_key.c.kid == row.kid).values(**values))
        await connection.execute(
            subject_key.update().where(subject_key.c.subject == row.subject).values(subject=day_subject(day))
        )
