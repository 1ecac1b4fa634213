"""A staff message gets its marker in the very turn that takes it: due at once, and behind nothing that could hold it.

What that is in seconds is measured by `benchmarks/relay.py --parts marker`."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.staff import React
from messenger.app.effects.thread import ShowFate
from messenger.storage.codec import load_effect
from messenger.storage.models.queues import outbox
from messenger.storage.outbox import outbox_place
from tests.integration.staff_desk import StaffDesk, staff_reacts, staff_says

SECOND = timedelta(seconds=1)  # of the two that a marker may take; the other is for its way


@pytest.mark.parametrize(
    ("sender", "text", "hold_seconds"),
    [
        ("@ben:x", "It takes a week.", 0),
        ("@ben:x", "It takes a week.", 10),
        ("@ben:x", "// ask the workshop", 10),
        ("@ben:x", "It takes a week.\n// ask the workshop", 10),
        ("@cleo:x", "I am not the owner", 10),
        ("@ben:x", "!who", 10),
        ("@ben:x", "!nonsense", 10),
        ("@ben:x", "!r an answer", 10),
        ("@ben:x", "!note inside", 10),
    ],
    ids=["answer", "answer that waits", "note", "held", "colleague", "command", "no command", "by !r", "by !note"],
)
async def test_its_marker_is_put_with_the_message_and_waits_for_nothing(
    database: AsyncEngine, sender: str, text: str, hold_seconds: int
) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x", "@cleo:x"], hold_seconds=hold_seconds)
    await desk.put(staff_reacts("@ben:x", "👀"))
    await desk.work(1)
    await desk.claim_everything()  # all that was before is on its way, and does not arrive
    before = len(await _rows(desk))
    await desk.put(staff_says(sender, text, event="$said"))
    assert await desk.work(1) == 1
    rows = (await _rows(desk))[before:]
    [marker] = [(row, effect) for row in rows if (effect := await _marker(desk, row))]
    row, effect = marker
    assert row.next_at - row.made_at < SECOND
    assert [each.lane for each in await _rows(desk)].count(row.lane) == 1
    assert isinstance(effect, ShowFate) or effect.event == "$said"


async def _rows(desk: StaffDesk) -> list[Any]:
    async with desk.engine.begin() as connection:
        return list((await connection.execute(sa.select(outbox).order_by(outbox.c.id))).all())


async def _marker(desk: StaffDesk, row: Any) -> ShowFate | React | None:
    effect = load_effect(row.kind, await desk.keys.open(row.enc_body, where=outbox_place(row.txn)))
    return effect if isinstance(effect, ShowFate | React) else None
