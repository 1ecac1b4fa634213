"""The rows of the decision table that are decided before the reply rule sees a message: strangers and our own, what
stands outside the current place, what cannot be read; and what then leaves, in each mode."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.staff import AnswerInRoom
from messenger.app.items import Item, Unreadable
from messenger.app.records import Trace
from messenger.domain import events as e
from messenger.domain.people import ReplyMode
from tests.integration.staff_desk import AT, CARD, DESK, ROOM, StaffDesk, staff_says

BEN, STRANGER = "@ben:x", "@nobody:x"

OUTSIDE = {
    "1 no member of the place": staff_says(STRANGER, "hello"),
    "1 no member, an order": staff_says(STRANGER, "!r hello"),
    "2 team chat": replace(staff_says(BEN, "hello"), thread=None),
    "2 another thread": replace(staff_says(BEN, "hello"), thread="$lunch"),
    "2 a reply to the card outside the thread": replace(staff_says(BEN, "hello"), thread=None, reply_to=CARD),
    "3 unreadable": Unreadable(
        account=DESK, room=ROOM, thread=CARD, event="$dark", sender=BEN, at=AT, reason="waiting_key"
    ),
}


@pytest.mark.parametrize("mode", ReplyMode)
@pytest.mark.parametrize("row", OUTSIDE)
async def test_nothing_of_these_rows_leaves_in_any_mode(database: AsyncEngine, row: str, mode: ReplyMode) -> None:
    desk = StaffDesk(database)
    await desk.set_up([BEN], reply_mode=mode.value)
    await desk.says(BEN, "!claim")
    item: Item = OUTSIDE[row]
    await desk.put(item)
    for _ in range(12):  # a thread of team chat is waited for a little
        await desk.work(1)
        await desk.hurry_inbox()
    _, log = await desk.only_conversation()
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    assert not [entry for entry in log if isinstance(entry.event, e.ReplyAccepted | e.NoteKept | e.ReplyHeld)]
    answers = [each for each in await desk.effects() if isinstance(each, AnswerInRoom)]
    assert [each.text for each in answers] == (["S26"] if "reply to the card" in row else [])


@pytest.mark.parametrize("mode", ReplyMode)
async def test_what_is_written_at_a_former_place_is_a_note(database: AsyncEngine, mode: ReplyMode) -> None:
    """Row 2, behind a hand-over, for the old owner and for an order to send."""
    desk = StaffDesk(database)
    await desk.set_up([BEN], reply_mode=mode.value)
    await desk.add_group("Pharmacy", reply_mode=mode.value)
    await desk.add_member("Pharmacy", BEN)
    for text in ("!claim", "!transfer Pharmacy"):
        await desk.says(BEN, text)
    id = (await desk.only_conversation())[0].id
    async with desk.units() as unit:
        await unit.messages.add_trace(
            Trace(account=DESK, room="!there", remote_id="$there", kind="card", conversation=id, part=2)
        )
    await desk.put(replace(staff_says(BEN, "!claim"), room="!there", thread="$there"))
    await desk.work(1)
    for text in ("plain words", "!r an order"):
        await desk.says(BEN, text)
    assert not [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
