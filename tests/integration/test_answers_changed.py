"""Staff changes what it said: what waits leaves changed or not at all, what has left is followed, and what does not
follow is told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import DeleteAtCustomer, EditAtCustomer, SendToCustomer
from messenger.app.effects.thread import PostNotice
from messenger.app.items import SendEnded, StaffRedacted, StaffSaid
from messenger.app.records import StoredMessage
from messenger.channels.messages import Content, MediaRef
from messenger.domain.replies import Fate
from messenger.observability.time import utc_now
from messenger.storage.timers import fire_due
from tests.integration.staff_desk import AT, DESK, ROOM, StaffDesk, customer_says, staff_reacts, staff_says
from tests.support.moved_time import becomes_older

BEN, CLEO = "@ben:x", "@cleo:x"


class Answers:
    def __init__(self, desk: StaffDesk) -> None:
        self.desk = desk

    async def done(self, *items: object) -> None:
        """One after the other."""
        for item in items:
            await self.desk.put(item)  # type: ignore[arg-type]
            await self.desk.work(1)

    async def message(self, event: str) -> StoredMessage:
        async with self.desk.units() as unit:
            trace = await unit.messages.find_trace(DESK, event)
            assert trace is not None and trace.message is not None
            return await unit.messages.get(trace.message)

    async def has_left(self, event: str) -> None:
        message = await self.message(event)
        await self.desk.claim_everything()
        await self.done(SendEnded(conversation=message.conversation, message=message.id, effect="SendToCustomer"))

    async def of_kind(self, kind: type) -> int:
        return sum(isinstance(effect, kind) for effect in await self.desk.effects())

    async def told(self) -> Sequence[str]:
        return [effect.text for effect in await self.desk.effects() if isinstance(effect, PostNotice)]


@pytest.fixture
async def answers(database: AsyncEngine, request: pytest.FixtureRequest) -> Answers:
    desk = StaffDesk(database)
    await desk.set_up([BEN, CLEO], **getattr(request, "param", {}))
    answers = Answers(desk)
    await answers.done(staff_reacts(BEN, "👀"))
    return answers


def says(text: str, event: str = "$a", *, sender: str = BEN) -> StaffSaid:
    return replace(staff_says(sender, text, event=event), at=utc_now())


def edits(text: str, event: str = "$a", *, sender: str = BEN, signed: bool = True) -> StaffSaid:
    return replace(staff_says(sender, text), edits=event, thread=None, at=utc_now(), owner_signed=signed)


def takes_back(event: str = "$a", *, sender: str = BEN) -> StaffRedacted:
    return StaffRedacted(account=DESK, room=ROOM, event=f"$no {event}", target=event, sender=sender, at=AT)


async def test_an_answer_behind_others_leaves_in_its_new_words(answers: Answers) -> None:
    await answers.done(says("one", "$1"), says("two", "$2"), says("three", "$a"), edits("four"))
    assert (await answers.message("$a")).content.text == "four"
    assert (await answers.of_kind(SendToCustomer), await answers.of_kind(EditAtCustomer)) == (3, 0)


async def test_what_has_left_is_followed_by_edit_and_deletion_in_their_order(answers: Answers) -> None:
    await answers.done(says("first"))
    await answers.has_left("$a")
    await answers.done(edits("second"), takes_back(), edits("third"))
    changes = [each for each in await answers.desk.effects() if isinstance(each, EditAtCustomer | DeleteAtCustomer)]
    assert [type(each) for each in changes] == [EditAtCustomer, DeleteAtCustomer]
    stored = await answers.message("$a")
    assert (stored.content.text, stored.is_deleted) == ("second", True)


async def test_nobody_changes_or_takes_back_anothers_words(answers: Answers) -> None:
    await answers.done(says("mine"))
    before = await answers.desk.effects()
    await answers.done(edits("yours", sender=CLEO), takes_back(sender=CLEO))
    stored = await answers.message("$a")
    assert (stored.content.text, stored.is_deleted, await answers.desk.effects()) == ("mine", False, before)


@pytest.mark.parametrize("answers", [{"hold_seconds": 5}], indirect=True)
async def test_the_caption_of_a_file_that_waits_leaves_in_its_new_words_with_the_file(answers: Answers) -> None:
    file = MediaRef(id="{}", filename="form.pdf")
    await answers.done(replace(says(""), type="m.file", content=Content(text="sing here", media=(file,))))
    await answers.done(replace(edits(""), type="m.file", content=Content(text="sign here", media=(file,))))
    stored = await answers.message("$a")
    assert (stored.content.text, len(stored.content.media), stored.fate) == ("sign here", 1, Fate.QUEUED)
    assert (await answers.of_kind(SendToCustomer), await answers.of_kind(EditAtCustomer)) == (1, 0)


async def test_a_correction_follows_although_the_conversation_is_resolved(answers: Answers) -> None:
    await answers.done(says("You get 100 euro."))
    await answers.has_left("$a")
    await answers.done(staff_reacts(BEN, "✅"), edits("You get 100 euros."))
    assert await answers.of_kind(EditAtCustomer) == 1


@pytest.mark.parametrize("answers", [{"device_policy": "cross-signed-tofu"}], indirect=True)
async def test_new_words_from_a_device_that_nobody_signed_do_not_follow(answers: Answers) -> None:
    await answers.done(says("first"))
    await answers.has_left("$a")
    await answers.done(edits("second", signed=False))
    assert "S14.device" in await answers.told()
    assert (await answers.message("$a")).content.text == "first"


async def test_a_scheduled_answer_is_edited_in_words_and_time_and_leaves_once(answers: Answers) -> None:
    await answers.done(says("!later 2h hallo"), edits("!later 4h hello"))
    assert (await answers.message("$a")).content.text == "hello"
    assert (await answers.told()).count("later.set") == 2
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=3))
    await answers.desk.work(1)
    assert await answers.of_kind(SendToCustomer) == 0, "the first time does not count any more"
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=5))
    await answers.desk.work(1)
    assert await answers.of_kind(SendToCustomer) == 1


async def test_a_scheduled_answer_keeps_its_time_when_only_words_are_written(answers: Answers) -> None:
    await answers.done(says("!later 2h hallo"), edits("hello"))
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=3))
    await answers.desk.work(1)
    assert ((await answers.message("$a")).content.text, await answers.of_kind(SendToCustomer)) == ("hello", 1)


@pytest.mark.parametrize("change", [takes_back(), edits("// keep it inside")], ids=["taken back", "now a note"])
async def test_a_scheduled_answer_that_is_taken_back_or_a_note_never_leaves(
    answers: Answers, change: StaffSaid | StaffRedacted
) -> None:
    await answers.done(says("!later 2h hello"), change)
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=3))
    await answers.desk.work(1)
    assert await answers.of_kind(SendToCustomer) == 0
    assert "later.cancelled.withdrawn" in await answers.told()


async def test_an_edit_whose_time_cannot_be_read_sends_nothing_and_says_why(answers: Answers) -> None:
    await answers.done(says("!later 2h hello"), edits("!later whenever hello"))
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=3))
    await answers.desk.work(1)
    assert await answers.of_kind(SendToCustomer) == 0
    assert {"later.cancelled.withdrawn", "later.unknown"} <= set(await answers.told())


FOUR_EYES = {"reply_mode": "explicit", "four_eyes": True, "hold_seconds": 5}


def approves(*, after_s: float = 60) -> object:
    return replace(staff_reacts(CLEO, "📤", target="$a"), at=utc_now() + timedelta(seconds=after_s))


@pytest.mark.parametrize("answers", [FOUR_EYES], indirect=True)
async def test_an_approved_answer_that_is_changed_in_time_must_be_approved_again(answers: Answers) -> None:
    await answers.done(says("100 euros"), approves())
    assert (await answers.message("$a")).fate is Fate.QUEUED
    await answers.done(edits("200 euros"))
    changed = await answers.message("$a")
    assert (changed.fate, changed.content.text) == (Fate.KEPT, "200 euros")
    assert (await answers.told()).count("S9") == 2
    await answers.done(approves())
    assert (await answers.message("$a")).fate is Fate.QUEUED


@pytest.mark.parametrize("answers", [FOUR_EYES], indirect=True)
async def test_what_was_approved_and_sent_keeps_its_words(answers: Answers) -> None:
    await answers.done(says("100 euros"), approves())
    await answers.has_left("$a")
    await answers.done(edits("200 euros"))
    assert await answers.of_kind(EditAtCustomer) == 0
    assert "S14.draft" in await answers.told()
    assert (await answers.message("$a")).content.text == "100 euros"


@pytest.mark.parametrize("answers", [FOUR_EYES], indirect=True)
async def test_an_approval_that_crosses_with_a_change_is_asked_for_again(answers: Answers) -> None:
    """Which words were read is not known then."""
    await answers.done(says("100 euros"), edits("200 euros"), approves(after_s=2))
    assert "S9.changed" in await answers.told()
    assert (await answers.message("$a")).fate is Fate.KEPT
    await answers.done(approves())
    assert (await answers.message("$a")).fate is Fate.QUEUED


async def test_replies_know_what_they_answer_on_both_sides(answers: Answers) -> None:
    await answers.done(replace(says("our answer"), reply_to="$first"))
    await answers.done(replace(customer_says("$second", "thanks"), reply_to="$first"))
    first = await answers.message("$first")
    assert [(await answers.message(each)).reply_to for each in ("$a", "$second")] == [first.id, first.id]


DOUBTED = {"hold_seconds": 5}


async def passes(answers: Answers, hours: int) -> int:
    """How many answers have left by then."""
    await fire_due(answers.desk.engine, answers.desk.keys, at=utc_now() + timedelta(hours=hours))
    await answers.desk.work(1)
    return await answers.of_kind(SendToCustomer)


def later(text: str) -> StaffSaid:
    """Held, for it names a colleague."""
    return replace(says(text), mentions=[CLEO])


@pytest.mark.parametrize(("answers", "by"), [(DOUBTED, BEN), (FOUR_EYES, CLEO)], indirect=["answers"])
async def test_an_answer_for_later_that_is_let_go_keeps_its_time(answers: Answers, by: str) -> None:
    approval = replace(staff_reacts(by, "📤", target="$a"), at=utc_now() + timedelta(seconds=60))
    await answers.done(later("!later 4h hello"), approval)
    assert (await answers.message("$a")).fate is Fate.QUEUED
    assert "later.set" in await answers.told()
    assert [await passes(answers, hours) for hours in (0, 3, 5, 6)] == [0, 0, 1, 1]


@pytest.mark.parametrize(("answers", "by"), [(DOUBTED, BEN), (FOUR_EYES, CLEO)], indirect=["answers"])
async def test_an_answer_for_later_is_changed_while_it_waits_for_a_person(answers: Answers, by: str) -> None:
    changed = replace(edits("!later 6h good day"), mentions=[CLEO])
    approval = replace(staff_reacts(by, "📤", target="$a"), at=utc_now() + timedelta(seconds=60))
    await answers.done(later("!later 4h hello"), changed)
    assert (await answers.message("$a")).fate in (Fate.HELD, Fate.KEPT)
    await answers.done(approval)
    assert [await passes(answers, hours) for hours in (5, 7)] == [0, 1]
    assert (await answers.message("$a")).content.text == "good day"


async def test_an_answer_for_later_that_is_let_go_after_its_time_leaves_at_once(answers: Answers) -> None:
    await answers.done(later("!later 4h hello"))
    await becomes_older(answers.desk.engine, timedelta(hours=5))
    await answers.done(replace(staff_reacts(BEN, "📤", target="$a"), at=utc_now()))
    assert await answers.of_kind(SendToCustomer) == 1
