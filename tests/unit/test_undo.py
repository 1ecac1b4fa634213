"""What `!undo` takes back, and what it refuses: given the log, then the command that leads back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import fold
from messenger.domain.decide import decide
from messenger.domain.errors import CannotUndo
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause
from messenger.domain.people import Role
from messenger.domain.tags import MOST, changed
from messenger.domain.undo import WITHIN, undoing

ID, GROUP = ConversationId(UUID(int=1)), GroupId(UUID(int=2))
BEN, CLEO = AgentId(UUID(int=3)), AgentId(UUID(int=4))
AT = datetime(2026, 11, 24, 9, tzinfo=UTC)
TOMORROW = AT + timedelta(days=1)
OPENED = e.ConversationOpened(number="K-4F7Q", contact=ContactId(UUID(int=5)), chat=ChatId(UUID(int=6)), language="de")
CLAIMED, RELEASED = e.ConversationClaimed(agent=BEN), e.ConversationReleased(agent=BEN)
PAUSED = e.ConversationPaused(by=BEN, wake_on=(Cause.CUSTOMER, Cause.TIME), until=TOMORROW)
RESUMED = e.ConversationResumed(cause="agent", by=BEN)
RESOLVED = e.ConversationResolved(reason="solved", by=BEN)
BEGIN = [("customer", OPENED), ("customer", e.ConversationQueued(group=GROUP, reason="default"))]


def log(*turns: tuple[str, *tuple[e.Event, ...]]) -> list[e.Recorded]:
    """Each turn a minute after the last; the events of one turn at one time."""
    entries: list[e.Recorded] = []
    for minute, (actor, *events) in enumerate([*BEGIN, *turns]):
        for event in events:
            version, at = len(entries) + 1, AT + timedelta(minutes=minute)
            entries.append(e.Recorded(conversation=ID, version=version, event=event, at=at, actor=actor))
    return entries


def undo(entries: list[e.Recorded], *, later: timedelta = timedelta(0), agent: AgentId = BEN) -> c.Command:
    now = entries[-1].at + later
    return undoing(entries, agent, Role.AGENT, actor="ben" if agent == BEN else "cleo", now=now)


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], CLAIMED),
        ([("ben", CLAIMED)], RELEASED),
        ([("ben", CLAIMED)], PAUSED),
        ([("ben", CLAIMED), ("ben", PAUSED)], RESUMED),
        ([("ben", CLAIMED)], RESOLVED),
    ],
)
def test_a_step_is_taken_back_and_everything_is_as_it_was(before: list, step: e.Event) -> None:  # type: ignore[type-arg]
    entries = log(*before, ("ben", step))
    now = fold(entries)
    assert now is not None
    events = decide(now, undo(entries))
    was, again = fold(log(*before)), fold(log(*before, ("ben", step), ("ben", *events)))
    assert was is not None and again is not None
    assert (again.state, again.owner) == (was.state, was.owner)
    assert (again.pause is None) == (was.pause is None)
    if was.pause is not None and again.pause is not None:
        assert (again.pause.wake_on, again.pause.until) == (was.pause.wake_on, was.pause.until)


def test_messages_since_then_change_nothing_about_it() -> None:
    entries = log(("ben", CLAIMED), ("customer", e.MessageReceived(message=MessageId(UUID(int=9)))))
    assert isinstance(undo(entries), c.ReleaseConversation)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "nothing"),
        ([("cleo", CLAIMED)], "nothing"),
        ([("ben", CLAIMED), ("cleo", e.ConversationReleased(agent=BEN))], "changed"),
        ([("ben", CLAIMED), ("ben", PAUSED), ("customer", e.ConversationResumed(cause="customer"))], "changed"),
        ([("cleo", CLAIMED), ("cleo", PAUSED), ("ben", RESUMED, CLAIMED)], "not_simple"),
        ([("ben", CLAIMED), ("ben", PAUSED), ("ben", PAUSED)], "not_simple"),
        ([("ben", CLAIMED), ("ben", PAUSED), ("ben", RESOLVED)], "not_simple"),
        ([("cleo", e.ConversationClaimed(agent=CLEO)), ("ben", e.ConversationReleased(agent=CLEO))], "not_simple"),
    ],
)
def test_what_one_command_does_not_lead_back_from_is_refused_in_words(turns: list, reason: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(CannotUndo) as refused:
        undo(log(*turns))
    assert refused.value.text == f"undo.{reason}"


def test_two_minutes_later_it_is_too_late() -> None:
    entries = log(("ben", CLAIMED))
    assert undo(entries, later=WITHIN)
    with pytest.raises(CannotUndo, match="late"):
        undo(entries, later=WITHIN + timedelta(seconds=1))


def test_a_pause_whose_time_is_over_is_not_set_again() -> None:
    over = e.ConversationPaused(by=BEN, wake_on=(Cause.TIME,), until=AT + timedelta(minutes=2))
    with pytest.raises(CannotUndo, match="not_simple"):
        undo(log(("ben", CLAIMED), ("ben", over), ("ben", RESUMED)))


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ((), "+invoice urgent", ("invoice", "urgent")),
        (("Invoice",), "+invoice -URGENT", ("Invoice",)),
        (("invoice", "urgent"), "-Invoice, +Rückfrage", ("urgent", "Rückfrage")),
        (("a",), "", ("a",)),
        ((), "+ - #heart \u202e", ("heart",)),
        ((), "+" + "x" * 100, ("x" * 40,)),
    ],
)
def test_tags_come_and_go(before: tuple[str, ...], text: str, after: tuple[str, ...]) -> None:
    assert changed(before, text) == after


def test_there_are_never_too_many_tags() -> None:
    assert len(changed((), " ".join(f"+t{number}" for number in range(100)))) == MOST
