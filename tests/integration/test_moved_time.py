"""What is to happen at a time happens once, soon after it, whatever lies in between: restarts, a downtime of a week,
changes of the clock, a customer who writes at the same moment."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendToCustomer, TellCustomer
from messenger.app.effects.thread import PostPack
from messenger.app.items import SendEnded, StaffRedacted
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, fold
from messenger.domain.events import Recorded
from messenger.storage.timers import fire_due
from tests.integration.staff_desk import AT, DESK, GROUP, ROOM, StaffDesk, customer_says
from tests.support.moved_time import Clock

BEN, CLEO = "@ben:x", "@cleo:x"
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
TIMERS_EVERY = SECOND  # bootstrap.housekeeping looks so often
MONDAY = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    return StaffDesk(database)


async def story(desk: StaffDesk) -> tuple[Conversation, Sequence[Recorded]]:
    [id] = await desk.conversations()
    state, log = await desk.state_and_log(id)
    assert fold(log) == state
    return state, log


def all_of(log: Sequence[Recorded], kind: type) -> list[Recorded]:
    return [entry for entry in log if isinstance(entry.event, kind)]


async def owned(desk: StaffDesk, now: datetime, **settings: object) -> Clock:
    """Ben has a conversation; the clock stands at `now`."""
    clock = Clock(desk, now)
    await desk.set_up([BEN, CLEO], **settings)
    await desk.says(BEN, "!claim")
    return clock


async def sent(desk: StaffDesk) -> int:
    return sum(isinstance(each, SendToCustomer) for each in await desk.effects())


PAUSES = ["1m", "59m", "2h", "36h", "3d", "2w", "90d", "tomorrow 9", "fri 9:00", "24.12. 14:00", "fri partner"]


@pytest.mark.parametrize("downtime", [TIMERS_EVERY, 7 * DAY], ids=["running", "down for a week"])
@pytest.mark.parametrize("asked", PAUSES)
async def test_a_pause_wakes_once_and_soon(desk: StaffDesk, asked: str, downtime: timedelta) -> None:
    clock = await owned(desk, MONDAY)
    await desk.says(BEN, f"!pause {asked}")
    state, _ = await story(desk)
    assert state.pause is not None and state.pause.until is not None
    due = state.pause.until
    assert await clock.tick(due - SECOND) == 0
    assert (await story(desk))[0].is_paused
    clock.restart()
    assert await clock.tick(due + downtime) == 1
    for later in (SECOND, DAY, 100 * DAY):
        clock.restart()
        assert await clock.tick(due + downtime + later) == 0
    state, log = await story(desk)
    [resumed] = all_of(log, e.ConversationResumed)
    assert (state.state, resumed.event) == (State.OPEN, e.ConversationResumed(cause="time"))
    assert resumed.at - due == downtime
    packs = [each for each in await desk.effects() if isinstance(each, PostPack)]
    assert [pack.cause for pack in packs] == ["time"]


@pytest.mark.parametrize(
    ("now", "asked", "due"),
    [
        # Europe/Berlin puts its clocks forward on 28 March 2027 and back on 31 October 2027.
        ("2027-03-27T20:00+00:00", "tomorrow 9", "2027-03-28T07:00+00:00"),
        ("2027-03-26T20:00+00:00", "tomorrow 9", "2027-03-27T08:00+00:00"),
        ("2027-03-27T20:00+00:00", "24h", "2027-03-28T20:00+00:00"),
        ("2027-10-30T20:00+00:00", "tomorrow 9", "2027-10-31T08:00+00:00"),
        ("2027-10-29T20:00+00:00", "tomorrow 9", "2027-10-30T07:00+00:00"),
        ("2027-10-30T20:00+00:00", "24h", "2027-10-31T20:00+00:00"),
        # Seconds since 1970 leave 32 bits on 19 January 2038 at 3:14:08.
        ("2038-01-18T20:00+00:00", "8h", "2038-01-19T04:00+00:00"),
        ("2038-01-18T20:00+00:00", "tomorrow 9", "2038-01-19T08:00+00:00"),
        ("2044-05-02T20:00+00:00", "90d", "2044-07-31T07:00+00:00"),
    ],
)
async def test_a_pause_over_a_change_of_the_clock_ends_when_the_groups_clock_says_so(
    desk: StaffDesk, now: str, asked: str, due: str
) -> None:
    clock = await owned(desk, datetime.fromisoformat(now))
    await desk.says(BEN, f"!pause {asked}")
    assert await clock.tick(datetime.fromisoformat(due) - SECOND) == 0
    assert await clock.tick(datetime.fromisoformat(due)) == 1
    assert (await story(desk))[0].state is State.OPEN


async def test_the_customer_and_the_clock_at_the_same_moment_wake_it_once(desk: StaffDesk) -> None:
    clock = await owned(desk, MONDAY)
    for number in range(12):
        await desk.says(BEN, "!pause 1h")
        await desk.put(customer_says(f"$again{number}", "Hello?"))
        await clock.tick(clock.now + timedelta(hours=1), workers=2)
        state, log = await story(desk)
        assert state.state is State.OPEN
        assert len(all_of(log, e.ConversationResumed)) == number + 1
    received = all_of((await story(desk))[1], e.MessageReceived)
    assert len(received) == 13, "and no message is lost"


async def test_a_pause_that_was_changed_wakes_at_its_new_time_only(desk: StaffDesk) -> None:
    clock = await owned(desk, MONDAY)
    await desk.says(BEN, "!pause 1h")
    await desk.says(BEN, "!pause 3h")
    assert await clock.tick(MONDAY + timedelta(hours=1)) == 1, "the old timer"
    assert (await story(desk))[0].is_paused
    await clock.tick(MONDAY + timedelta(hours=3))
    assert len(all_of((await story(desk))[1], e.ConversationResumed)) == 1


async def test_a_timer_set_again_for_the_same_moment_is_heard_again(desk: StaffDesk) -> None:
    """The program's clock may be behind that of the database: then a timer of silence comes too early, and is set
    again."""
    clock = await owned(desk, MONDAY, auto_resolve_days=10, auto_resolve_warn_days=2)
    await answered(desk, "$answer")
    due = MONDAY + 8 * DAY
    assert await clock.tick(due - SECOND) == 0
    clock.now = due - SECOND  # the database is a second ahead
    for _ in range(2):
        assert await fire_due(desk.engine, desk.keys, at=due) == 1
        await desk.work(1)
    assert all_of((await story(desk))[1], e.SilenceWarned) == []
    await clock.tick(due)
    assert len(all_of((await story(desk))[1], e.SilenceWarned)) == 1


# Answers that leave later


@pytest.mark.parametrize("downtime", [TIMERS_EVERY, 7 * DAY], ids=["running", "down for a week"])
async def test_a_scheduled_answer_leaves_once(desk: StaffDesk, downtime: timedelta) -> None:
    clock = await owned(desk, MONDAY)
    await desk.says(BEN, "!later 2h Your report is there.")
    assert (await clock.tick(MONDAY + timedelta(hours=2) - SECOND), await sent(desk)) == (0, 0)
    clock.restart()
    assert await clock.tick(MONDAY + timedelta(hours=2) + downtime) == 1
    clock.restart()
    assert await clock.tick(MONDAY + 200 * DAY) == 0
    state, log = await story(desk)
    assert (await sent(desk), len(all_of(log, e.ReplyAccepted)), state.scheduled) == (1, 1, frozenset())


CANCELS = ["customer", "!undo", "redaction", "!resolve", "!release", "!assign @cleo:x", "cleo !resume"]


@pytest.mark.parametrize("by", CANCELS)
async def test_everything_that_cancels_a_scheduled_answer(desk: StaffDesk, by: str) -> None:
    clock = await owned(desk, MONDAY)
    await desk.says(BEN, "!later 2h Your report is there.", event="$later")
    await desk.says(BEN, "!pause until reply") if "resume" in by else None
    match by:
        case "customer":
            await desk.put(customer_says("$never mind", "Never mind."))
        case "redaction":
            await desk.put(redacts(BEN, "$later"))
        case "cleo !resume":
            await desk.says(CLEO, "!resume")
        case _:
            await desk.says(BEN, by)
    await desk.work(1)
    state, log = await story(desk)
    assert (len(all_of(log, e.ScheduleCancelled)), state.scheduled) == (1, frozenset())
    await clock.tick(MONDAY + timedelta(hours=2))
    assert (await sent(desk), all_of((await story(desk))[1], e.ReplyAccepted)) == (0, [])


def redacts(sender: str, target: str) -> StaffRedacted:
    return StaffRedacted(account=DESK, room=ROOM, event=f"${uuid4().hex}", target=target, sender=sender, at=AT)


# Silence


async def answered(desk: StaffDesk, event: str, by: str = BEN) -> None:
    """The owner answers and it arrives."""
    await desk.says(by, "It is on its way.", event=event)
    state, log = await story(desk)
    accepted = all_of(log, e.ReplyAccepted)[-1].event
    assert isinstance(accepted, e.ReplyAccepted)
    await desk.put(SendEnded(conversation=state.id, message=accepted.message, effect="SendToCustomer"))
    await desk.work(1)


async def told(desk: StaffDesk) -> int:
    return sum(isinstance(each, TellCustomer) and each.text == "C15" for each in await desk.effects())


@pytest.mark.parametrize("began", [MONDAY, datetime(2038, 1, 15, 10, tzinfo=UTC)], ids=["today", "over 2038"])
async def test_silence_warns_once_and_ends_once(desk: StaffDesk, began: datetime) -> None:
    clock = await owned(desk, began, auto_resolve_days=10, auto_resolve_warn_days=2)
    await answered(desk, "$answer")
    for day in range(1, 40):
        if day % 5 == 0:
            clock.restart()
        await clock.tick(began + day * DAY)
    state, log = await story(desk)
    [warned], [ended] = all_of(log, e.SilenceWarned), all_of(log, e.ConversationResolved)
    assert (warned.at, ended.at) == (began + 8 * DAY, began + 10 * DAY)
    assert (state.resolution, await told(desk)) == ("silence", 1)


async def test_after_a_month_of_downtime_the_customer_still_has_the_whole_warning(desk: StaffDesk) -> None:
    clock = await owned(desk, MONDAY, auto_resolve_days=10, auto_resolve_warn_days=2)
    await answered(desk, "$answer")
    clock.restart()
    await clock.tick(MONDAY + 30 * DAY)
    await clock.tick(MONDAY + 32 * DAY - SECOND)
    state, log = await story(desk)
    assert (state.state, len(all_of(log, e.SilenceWarned))) == (State.OPEN, 1)
    await clock.tick(MONDAY + 32 * DAY)
    assert (await story(desk))[0].resolution == "silence"


@pytest.mark.parametrize("day", [5, 9], ids=["before the warning", "after the warning"])
async def test_our_next_answer_begins_the_silence_anew(desk: StaffDesk, day: int) -> None:
    clock = await owned(desk, MONDAY, auto_resolve_days=10, auto_resolve_warn_days=2)
    await answered(desk, "$answer")
    await clock.tick(MONDAY + 8 * DAY) if day > 8 else None
    clock.now = MONDAY + day * DAY
    await answered(desk, "$more")
    for later in range(day, 40):
        await clock.tick(MONDAY + later * DAY)
    _, log = await story(desk)
    assert len(all_of(log, e.SilenceWarned)) == (2 if day > 8 else 1)
    assert [ended.at for ended in all_of(log, e.ConversationResolved)] == [MONDAY + (day + 10) * DAY]


async def test_who_waits_for_our_answer_is_never_closed(desk: StaffDesk) -> None:
    clock = await owned(desk, MONDAY, auto_resolve_days=10, auto_resolve_warn_days=2)
    await answered(desk, "$answer")
    await clock.tick(MONDAY + 8 * DAY)
    await desk.put(customer_says("$still", "Still there!"))
    for day in range(9, 60):
        await clock.tick(MONDAY + day * DAY)
    state, log = await story(desk)
    assert (state.state, len(all_of(log, e.SilenceWarned)), await told(desk)) == (State.OPEN, 1, 1)


SILENT = {"auto_resolve_days": 10, "auto_resolve_warn_days": 2, "recard_after_hours": 8760}


@pytest.mark.parametrize("ends", ["time", "!resume", "!release", "cleo !claim"])
async def test_after_a_pause_longer_than_the_silence_it_counts_from_our_next_answer(desk: StaffDesk, ends: str) -> None:
    clock = await owned(desk, MONDAY, **SILENT)
    await answered(desk, "$answer")
    await desk.says(BEN, "!pause 30d")
    awake = MONDAY + 30 * DAY
    if ends == "time":
        await clock.tick(awake)
    else:
        awake -= DAY
        await clock.tick(awake)
        await desk.says(CLEO if "cleo" in ends else BEN, ends.removeprefix("cleo "))
        await desk.says(BEN, "!claim") if ends == "!release" else None
    for day in range(1, 20):
        await clock.tick(awake + day * DAY)
    state, log = await story(desk)
    assert (state.state, all_of(log, e.SilenceWarned)) == (State.OPEN, []), "it is our turn"
    owner = CLEO if "cleo" in ends else BEN
    clock.now = awake + 20 * DAY
    await answered(desk, "$more", by=owner)
    for day in range(21, 40):
        await clock.tick(awake + day * DAY)
    _, log = await story(desk)
    assert [warned.at for warned in all_of(log, e.SilenceWarned)] == [awake + 28 * DAY]
    assert [ended.at for ended in all_of(log, e.ConversationResolved)] == [awake + 30 * DAY]


@pytest.mark.parametrize("waits", ["!later 40d There it is.", "on its way", "held", "a draft for two"])
async def test_silence_ends_nothing_while_words_of_ours_wait(desk: StaffDesk, waits: str) -> None:
    clock = await owned(desk, MONDAY, **SILENT)
    await answered(desk, "$answer")
    if waits == "a draft for two":
        await desk.change_group(GROUP, reply_mode="explicit", four_eyes=True)
    clock.now += SECOND
    words = "More follows." if waits == "on its way" else "!r More follows." if "draft" in waits else waits
    words = "More follows, says @cleo" if waits == "held" else words
    await desk.says(BEN, words, event="$more", mentions=[CLEO] if waits == "held" else ())
    for day in range(1, 39):
        await clock.tick(MONDAY + day * DAY + timedelta(hours=1))
    state, log = await story(desk)
    assert (state.state, all_of(log, e.SilenceWarned)) == (State.OPEN, [])
    await desk.put(redacts(BEN, "$more"))
    if waits == "on its way":
        accepted = all_of(log, e.ReplyAccepted)[-1].event
        await desk.put(SendEnded(conversation=state.id, message=accepted.message, effect="SendToCustomer"))
    await desk.work(1)
    for day in range(39, 60):
        await clock.tick(MONDAY + day * DAY + timedelta(hours=1))
    state, log = await story(desk)
    assert (state.resolution, len(all_of(log, e.SilenceWarned))) == ("silence", 1), "then it is looked at again"
