"""A long life, step by step on the real database: after each step the stored conversation is the folded log, and the
state is what the step should have made of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import EditAtCustomer, SendToCustomer
from messenger.app.items import Item, SendEnded, StaffRedacted
from messenger.app.records import Trace
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, fold
from messenger.domain.ids import ConversationId
from messenger.observability.time import utc_now
from messenger.storage.timers import fire_due
from tests.integration.staff_desk import CARD, DESK, ROOM, StaffDesk, customer_says, staff_reacts, staff_says
from tests.support.moved_time import becomes_older

BEN, CLEO, PIA = "@ben:x", "@cleo:x", "@pia:x"
THERE, NEW_CARD = "!there", "$card2"
A_MINUTE = timedelta(minutes=1)  # for so long the new words have been before their eyes


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


class Life:
    """One conversation; each `do` is a step after which the books are compared."""

    def __init__(self, desk: StaffDesk, id: ConversationId) -> None:
        self.desk, self.id, self.room, self.card = desk, id, ROOM, CARD
        self.steps = 0

    async def do(self, *items: Item, state: State, owner: str | None) -> Conversation:
        await self.desk.put(*items)
        return await self.stands(state, owner)

    async def says(self, who: str, text: str, state: State, owner: str | None, **more: str) -> Conversation:
        event = more.get("event", f"${uuid4().hex}")
        item = replace(staff_says(who, text, event=event), room=self.room, thread=self.card, at=utc_now())
        return await self.do(replace(item, edits=more.get("edits")), state=state, owner=owner)

    async def redacts(self, who: str, target: str, state: State, owner: str | None) -> Conversation:
        gone = StaffRedacted(
            account=DESK, room=self.room, event=f"${uuid4().hex}", target=target, sender=who, at=utc_now()
        )
        return await self.do(gone, state=state, owner=owner)

    async def passes(self, by: timedelta, state: State, owner: str | None) -> Conversation:
        await becomes_older(self.desk.engine, by)
        await self.compare()
        await fire_due(self.desk.engine, self.desk.keys)
        return await self.stands(state, owner)

    async def stands(self, state: State, owner: str | None) -> Conversation:
        await self.desk.work(1)
        now = await self.compare()
        assert (now.state, await self.address_of(now)) == (state, owner)
        return now

    async def compare(self) -> Conversation:
        self.steps += 1
        stored, log = await self.desk.state_and_log(self.id)
        assert fold(log) == stored, f"after step {self.steps}: {type(log[-1].event).__name__}"
        return stored

    async def address_of(self, conversation: Conversation) -> str | None:
        if conversation.owner is None:
            return None
        async with self.desk.units() as unit:
            return (await unit.people.agent(conversation.owner)).address

    async def arrives(self, *, code: str = "") -> Conversation:
        """The last answer's send ends."""
        _, log = await self.desk.state_and_log(self.id)
        message = [entry.event for entry in log if isinstance(entry.event, e.ReplyAccepted)][-1].message
        await self.desk.put(SendEnded(conversation=self.id, message=message, effect="SendToCustomer", code=code))
        await self.desk.work(1)
        return await self.compare()

    async def placed(self, room: str, card: str, number: int) -> None:
        """The card of a new place has been posted."""
        self.room, self.card = room, card
        async with self.desk.units() as unit:
            await unit.messages.add_trace(
                Trace(account=DESK, room=room, remote_id=card, kind="card", conversation=self.id, part=number)
            )


async def test_a_long_life_folds_to_what_is_stored_at_every_step(desk: StaffDesk) -> None:
    id = await desk.set_up([BEN, CLEO], hold_seconds=5)
    await desk.add_group("Pharmacy", hold_seconds=5, reply_mode="explicit", four_eyes=True)
    for who in (PIA, CLEO):
        await desk.add_member("Pharmacy", who)
    life, day = Life(desk, id), timedelta(days=1)
    await life.do(staff_reacts(BEN, "👀"), state=State.OPEN, owner=BEN)
    await life.says(BEN, "one momnet", State.OPEN, BEN, event="$m1")
    await life.says(BEN, "one moment", State.OPEN, BEN, event="$m1e", edits="$m1")
    assert (await life.arrives()).on_their_way == ()
    await life.says(BEN, "nonsense", State.OPEN, BEN, event="$m2")
    assert (await life.redacts(BEN, "$m2", State.OPEN, BEN)).waiting_since is None
    await life.says(BEN, "!pause 3d waiting for the hospital", State.PAUSED, BEN)
    await life.says(BEN, "!pause 5d", State.PAUSED, BEN)
    await life.passes(3 * day, State.PAUSED, BEN)
    await life.passes(2 * day + timedelta(hours=10), State.OPEN, BEN)  # days end at nine, by the group's clock
    await life.placed(ROOM, "$card3", (await life.compare()).place)
    await life.says(BEN, "!later 2h The report is there", State.OPEN, BEN, event="$later")
    await life.says(BEN, "The report is here", State.OPEN, BEN, event="$latere", edits="$later")
    await life.passes(timedelta(hours=2), State.OPEN, BEN)
    await life.arrives(code="blocked")
    await life.says(BEN, "!later 2h again", State.OPEN, BEN, event="$later2")
    await life.says(BEN, "!pause until reply", State.PAUSED, BEN)
    await life.says(CLEO, "!resume", State.OPEN, CLEO)
    await life.says(CLEO, "hello\n// between us", State.OPEN, CLEO, event="$held")
    await life.says(CLEO, "hello", State.OPEN, CLEO, event="$helde", edits="$held")
    await life.do(replace(staff_reacts(CLEO, "📤", target="$held"), room=life.room), state=State.OPEN, owner=CLEO)
    await life.arrives()
    await life.says(CLEO, "!resolve solved", State.RESOLVED, CLEO)
    await life.passes(day, State.RESOLVED, CLEO)
    back = await life.do(customer_says("$back", "One more thing"), state=State.OPEN, owner=CLEO)
    await life.placed(ROOM, "$card4", back.place)
    await life.says(CLEO, "!transfer Pharmacy about the dose", State.QUEUED, None)
    await life.placed(THERE, NEW_CARD, (await life.compare()).place)
    await life.says(PIA, "!claim", State.OPEN, PIA)
    await life.says(PIA, "twice a day", State.OPEN, PIA, event="$draft")
    await life.do(replace(staff_reacts(PIA, "📤", target="$draft"), room=THERE), state=State.OPEN, owner=PIA)
    await life.do(replace(staff_reacts(CLEO, "📤", target="$draft"), room=THERE), state=State.OPEN, owner=PIA)
    answered = await life.arrives()
    assert answered.waiting_since is None
    await life.says(PIA, "!release", State.QUEUED, None)
    await life.says(CLEO, "!claim", State.OPEN, CLEO)
    await life.says(CLEO, "!resolve", State.RESOLVED, CLEO)
    await life.says(PIA, "!reopen", State.OPEN, PIA)
    sent = [each for each in await desk.effects() if isinstance(each, SendToCustomer)]
    assert len(sent) == 5, "two of Ben's, the scheduled one, Cleo's held one, Pia's draft"


async def approvals(desk: StaffDesk, change: Callable[[Life], Awaitable[object]], **settings: object) -> list[str]:
    """Ben's draft is changed, then Cleo approves it; returns what leaves."""
    life = Life(desk, await desk.set_up([BEN, CLEO], reply_mode="explicit", four_eyes=True, **settings))
    await life.says(BEN, "!claim", State.OPEN, BEN)
    await life.says(BEN, "Take two of them.", State.OPEN, BEN, event="$draft")
    await change(life)
    return await leaving(desk)


async def leaving(desk: StaffDesk) -> list[str]:
    texts = []
    for each in await desk.effects():
        if isinstance(each, SendToCustomer | EditAtCustomer):
            async with desk.units() as unit:
                _, message = await unit.conversations.case_of(each.message)  # type: ignore[arg-type]
            texts.append(message.content.text)
    return texts


@pytest.mark.parametrize("words", ["// she is my aunt", "!note she is my aunt", "note: my aunt"])
async def test_a_draft_that_became_a_note_is_not_approved_any_more(desk: StaffDesk, words: str) -> None:
    async def change(life: Life) -> None:
        await life.says(BEN, words, State.OPEN, BEN, event="$edit", edits="$draft")
        await life.do(staff_reacts(CLEO, "📤", target="$draft"), state=State.OPEN, owner=BEN)

    assert await approvals(desk, change) == []


async def test_a_draft_leaves_in_the_words_that_were_approved(desk: StaffDesk) -> None:
    async def change(life: Life) -> None:
        await life.says(BEN, "Take one of them.", State.OPEN, BEN, event="$edit", edits="$draft")
        await life.do(staff_reacts(CLEO, "📤", target="$draft", at=utc_now() + A_MINUTE), state=State.OPEN, owner=BEN)

    assert await approvals(desk, change) == ["Take one of them."]


@pytest.mark.parametrize("hold", [0, 5], ids=["sent", "in the window"])
async def test_with_four_eyes_nobody_changes_approved_words_alone(desk: StaffDesk, hold: int) -> None:
    """In the window it becomes a draft again; what has left stays as it was approved."""

    async def change(life: Life) -> None:
        await life.do(staff_reacts(CLEO, "📤", target="$draft"), state=State.OPEN, owner=BEN)
        if not hold:
            await desk.claim_everything()
        await life.says(BEN, "Take ten of them.", State.OPEN, BEN, event="$edit", edits="$draft")

    texts = await approvals(desk, change, hold_seconds=hold)
    _, log = await desk.only_conversation()
    if hold:
        assert [type(entry.event) for entry in log[-2:]] == [e.ReplyCancelled, e.NoteKept]
        await desk.put(staff_reacts(CLEO, "📤", target="$draft", at=utc_now() + A_MINUTE))
        await desk.work(1)
        assert len([each for each in await desk.effects() if isinstance(each, SendToCustomer)]) == 2
    else:
        assert texts == ["Take two of them."]
        assert isinstance(log[-1].event, e.ChangeKeptBack) and log[-1].event.reason == "draft"


async def test_an_edit_from_a_device_that_is_not_trusted_changes_nothing_outside(desk: StaffDesk) -> None:
    life = Life(desk, await desk.set_up([BEN], hold_seconds=0))
    await life.says(BEN, "!claim", State.OPEN, BEN)
    await life.says(BEN, "Take two.", State.OPEN, BEN, event="$said")
    await desk.claim_everything()
    forged = replace(staff_says(BEN, "Take ten.", event="$edit"), edits="$said", owner_signed=False, at=utc_now())
    await life.do(forged, state=State.OPEN, owner=BEN)
    assert await leaving(desk) == ["Take two."]


async def test_who_handed_it_over_still_takes_an_answer_back(desk: StaffDesk) -> None:
    life = Life(desk, await desk.set_up([BEN], hold_seconds=5))
    await desk.add_group("Pharmacy")
    await desk.add_member("Pharmacy", PIA)
    await life.says(BEN, "!claim", State.OPEN, BEN)
    await life.says(BEN, "Take two.", State.OPEN, BEN, event="$said")
    await life.says(BEN, "!transfer Pharmacy", State.QUEUED, None)
    await life.redacts(BEN, "$said", State.QUEUED, None)
    _, log = await desk.only_conversation()
    assert isinstance(log[-1].event, e.ReplyCancelled)
