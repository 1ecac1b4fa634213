"""Playbooks of a conversation's life: it rests and wakes, it ends, it begins again, and silence ends it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, evolve
from messenger.domain.decide import decide
from messenger.domain.errors import DomainError, NoConsent, NotAllowed, NotNow, NotYourConversation
from messenger.domain.ids import AgentId
from messenger.domain.life import reopens
from messenger.domain.pauses import Cause
from messenger.domain.people import Reopen, Role
from tests.unit.test_conversation import (
    ANNA,
    ANNAS,
    BEN,
    CLAIMS,
    ID,
    LEA,
    NEW,
    OPENED,
    at_minute,
    given,
    message,
    received,
)

DUE = at_minute(500)
UNTIL = e.ConversationPaused(by=ANNA, wake_on=(Cause.CUSTOMER, Cause.TIME), until=DUE)
PAUSED = (*ANNAS, UNTIL)
KEEP = (*ANNAS, e.ConversationPaused(by=ANNA, wake_on=(Cause.PARTNER, Cause.TIME), until=DUE))
ANSWERED = (*ANNAS, e.ReplyAccepted(message=message(8), author=ANNA), e.MessageDelivered(message=message(8)))
RESOLVED = (*ANNAS, e.ConversationResolved(reason="solved", by=ANNA))
LATER = e.ReplyScheduled(message=message(9), author=ANNA, at=at_minute(90))
DAY = timedelta(days=1)


def pauses(agent: AgentId, role: Role = Role.AGENT, *causes: Cause, until: datetime | None = None) -> c.Command:
    return c.PauseConversation(agent=agent, role=role, wake_on=frozenset(causes or {Cause.CUSTOMER}), until=until)


def wakes(cause: Cause = Cause.TIME, due: datetime | None = DUE) -> c.WakeConversation:
    return c.WakeConversation(cause=cause, due=due if cause is Cause.TIME else None)


# Pausing and waking


@pytest.mark.parametrize(
    ("before", "who", "role", "refusal"),
    [
        (ANNAS, ANNA, Role.AGENT, None),
        (ANNAS, LEA, Role.LEAD, None),
        (ANNAS, BEN, Role.AGENT, NotYourConversation),
        (ANNAS, LEA, Role.CLERK, NotYourConversation),
        (PAUSED, ANNA, Role.AGENT, None),
        (PAUSED, BEN, Role.AGENT, NotYourConversation),
        (NEW, ANNA, Role.LEAD, NotYourConversation),
        (RESOLVED, ANNA, Role.AGENT, NotNow),
        ((OPENED,), ANNA, Role.AGENT, NotNow),
    ],
)
def test_who_may_pause(before: Sequence[e.Event], who: AgentId, role: Role, refusal: type[DomainError] | None) -> None:
    if refusal:
        with pytest.raises(refusal):
            decide(given(*before), pauses(who, role))
        return
    conversation = given(*before, *decide(given(*before), pauses(who, role)))
    assert (conversation.state, conversation.owner) == (State.PAUSED, ANNA)
    assert conversation.pause is not None and conversation.pause.by == who


def test_pausing_again_puts_the_new_pause_in_the_place_of_the_old() -> None:
    later = DUE + DAY
    events = decide(given(*PAUSED), pauses(ANNA, Role.AGENT, Cause.TIME, Cause.CUSTOMER, until=later))
    again = given(*PAUSED, *events)
    assert again.pause is not None and again.pause.until == later
    assert decide(again, wakes(due=DUE)) == [], "the timer of the old pause does nothing"
    assert decide(again, wakes(due=later)) == [e.ConversationResumed(cause="time")]


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_wakes_exactly_what_waits_for_it(cause: Cause) -> None:
    for other in Cause:
        until = DUE if other is Cause.TIME else None
        paused = given(*ANNAS, e.ConversationPaused(by=ANNA, wake_on=(other,), until=until))
        events = decide(paused, wakes(cause))
        assert events == ([e.ConversationResumed(cause=cause.value)] if cause is other else [])


def test_what_wakes_first_wakes_alone() -> None:
    both = {"time": wakes(), "customer": c.ReceiveMessage(message=message(2))}
    for first, second in (("time", "customer"), ("customer", "time")):
        events = decide(given(*PAUSED), both[first])
        awake = given(*PAUSED, *events)
        later = decide(awake, both[second])
        resumed = [each.cause for each in (*events, *later) if isinstance(each, e.ConversationResumed)]
        assert (resumed, awake.state, awake.owner) == ([first], State.OPEN, ANNA)


def test_a_timer_of_a_pause_that_is_over_does_nothing() -> None:
    for after in (ANNAS, RESOLVED, (*PAUSED, e.ConversationReleased(agent=ANNA)), NEW):
        assert decide(given(*after), wakes()) == []


def test_a_customers_message_wakes_and_cancels_what_was_to_leave_later() -> None:
    events = decide(given(*PAUSED, LATER), c.ReceiveMessage(message=message(2)))
    cancelled = e.ScheduleCancelled(message=message(9), author=ANNA, reason="customer")
    assert events == [cancelled, e.ConversationResumed(cause="customer"), received(2)]


def test_a_pause_that_keeps_on_shows_the_message_and_goes_on() -> None:
    events = decide(given(*KEEP), c.ReceiveMessage(message=message(2)))
    assert events == [received(2), e.WakeSuppressed(message=message(2))]
    conversation = given(*KEEP, *events)
    assert conversation.is_paused and conversation.waiting_since is not None


def test_the_owner_resumes_and_stays_the_owner() -> None:
    events = decide(given(*PAUSED, LATER), c.ResumeConversation(agent=ANNA, role=Role.AGENT))
    assert events == [e.ConversationResumed(cause="agent", by=ANNA)]
    assert given(*PAUSED, LATER, *events).scheduled == {message(9)}


@pytest.mark.parametrize("role", [Role.AGENT, Role.LEAD])
def test_any_colleague_resumes_and_goes_on_with_it(role: Role) -> None:
    events = decide(given(*PAUSED, LATER), c.ResumeConversation(agent=BEN, role=role))
    cancelled = e.ScheduleCancelled(message=message(9), author=ANNA, reason="owner")
    assert events == [cancelled, e.ConversationResumed(cause="agent", by=BEN), e.ConversationClaimed(agent=BEN)]
    conversation = given(*PAUSED, LATER, *events)
    assert (conversation.state, conversation.owner) == (State.OPEN, BEN)


def test_a_clerk_resumes_nothing_and_nobody_resumes_what_does_not_rest() -> None:
    with pytest.raises(NotAllowed):
        decide(given(*PAUSED), c.ResumeConversation(agent=LEA, role=Role.CLERK))
    for before in (NEW, ANNAS, RESOLVED):
        with pytest.raises(NotNow):
            decide(given(*before), c.ResumeConversation(agent=ANNA, role=Role.AGENT))


# The end, and the beginning again


@pytest.mark.parametrize(
    ("before", "who", "role", "refusal"),
    [
        (ANNAS, ANNA, Role.AGENT, None),
        (ANNAS, LEA, Role.LEAD, None),
        (ANNAS, BEN, Role.AGENT, NotYourConversation),
        (PAUSED, ANNA, Role.AGENT, None),
        (PAUSED, LEA, Role.CLERK, NotYourConversation),
        (NEW, BEN, Role.AGENT, NotYourConversation),
        (RESOLVED, ANNA, Role.AGENT, NotNow),
        ((OPENED,), ANNA, Role.LEAD, NotNow),
    ],
)
def test_who_may_resolve(
    before: Sequence[e.Event], who: AgentId, role: Role, refusal: type[DomainError] | None
) -> None:
    command = c.ResolveConversation(agent=who, role=role)
    if refusal:
        with pytest.raises(refusal):
            decide(given(*before), command)
        return
    events = decide(given(*before, LATER), command)
    dropped = e.ScheduleCancelled(message=message(9), author=ANNA, reason="resolved")
    assert events == [dropped, e.ConversationResolved(reason="solved", by=who)]
    conversation = given(*before, LATER, *events)
    assert (conversation.state, conversation.owner, conversation.pause) == (State.RESOLVED, ANNA, None)
    assert (conversation.waiting_since, conversation.scheduled) == (None, frozenset())


@pytest.mark.parametrize(("available", "owner"), [(True, ANNA), (False, None)])
def test_the_customer_comes_back_to_the_last_owner_if_that_one_is_there(available: bool, owner: AgentId | None) -> None:
    back = c.ReceiveMessage(message=message(2), owner_is_available=available)
    events = decide(given(*RESOLVED), back)
    assert events == [e.ConversationReopened(cause="customer", owner=owner), received(2)]
    conversation = given(*RESOLVED, *events)
    assert (conversation.state, conversation.owner) == (State.OPEN if owner else State.QUEUED, owner)
    assert (conversation.resolved_at, conversation.resolution) == (None, None)
    assert conversation.waiting_since is not None


def test_an_agent_who_reopens_has_it_and_a_clerk_does_not() -> None:
    events = decide(given(*RESOLVED), c.ReopenConversation(agent=BEN, role=Role.AGENT))
    assert events == [e.ConversationReopened(cause="agent", owner=BEN)]
    assert given(*RESOLVED, *events).owner == BEN
    with pytest.raises(NotAllowed):
        decide(given(*RESOLVED), c.ReopenConversation(agent=LEA, role=Role.CLERK))
    with pytest.raises(NotNow):
        decide(given(*ANNAS), c.ReopenConversation(agent=BEN, role=Role.AGENT))


def test_what_was_out_of_sight_comes_back_under_a_new_card() -> None:
    for before, command in (
        (RESOLVED, c.ReceiveMessage(message=message(2), is_out_of_sight=True)),
        (RESOLVED, c.ReopenConversation(agent=ANNA, role=Role.AGENT, is_out_of_sight=True)),
        (PAUSED, c.ResumeConversation(agent=ANNA, role=Role.AGENT, is_out_of_sight=True)),
        (PAUSED, c.WakeConversation(cause=Cause.TIME, due=DUE, is_out_of_sight=True)),
        (ANNAS, c.ReceiveMessage(message=message(2), is_out_of_sight=True)),
    ):
        events = decide(given(*before), command)
        assert events[0] == e.CardRenewed()
        assert given(*before, *events).place == 2


# CO-07: policy, how long after the end, whether it is the same conversation.
WEEK, SECOND = timedelta(days=7), timedelta(seconds=1)
REOPENING = [
    (Reopen.ALWAYS, timedelta(0), True),
    (Reopen.ALWAYS, timedelta(days=3_000), True),
    (Reopen.WINDOW, timedelta(0), True),
    (Reopen.WINDOW, WEEK - SECOND, True),
    (Reopen.WINDOW, WEEK, True),
    (Reopen.WINDOW, WEEK + timedelta(microseconds=1), False),
    (Reopen.WINDOW, WEEK + SECOND, False),
    (Reopen.NEVER, timedelta(0), False),
    (Reopen.NEVER, WEEK, False),
]


@pytest.mark.parametrize(("policy", "after", "same"), REOPENING)
def test_the_groups_policy_says_whether_it_is_the_same_conversation(
    policy: Reopen, after: timedelta, same: bool
) -> None:
    resolved = given(*RESOLVED)
    assert resolved.resolved_at is not None
    assert reopens(resolved, policy, WEEK, resolved.resolved_at + after) is same


@pytest.mark.parametrize("policy", Reopen)
@pytest.mark.parametrize("before", [NEW, ANNAS, PAUSED])
def test_what_is_not_resolved_goes_on_under_every_policy(policy: Reopen, before: Sequence[e.Event]) -> None:
    assert reopens(given(*before), policy, WEEK, at_minute(10) + 100 * WEEK)


# Silence (CO-08)


def minds(at: datetime, *, after: timedelta = 10 * DAY, warn: timedelta = 2 * DAY) -> c.MindSilence:
    return c.MindSilence(now=at, after=after, warn_before=warn)


def happens(before: Conversation, event: e.Event, at: datetime) -> Conversation:
    return evolve(before, e.Recorded(conversation=ID, version=before.version + 1, event=event, at=at, actor="test"))


SILENT = given(*ANSWERED)
assert SILENT.answered_at is not None
ANSWERED_AT: datetime = SILENT.answered_at
WARNED, RESOLVED_BY_SILENCE = e.SilenceWarned(), e.ConversationResolved(reason="silence")


def test_silence_brings_one_warning_and_then_one_end() -> None:
    assert decide(SILENT, minds(ANSWERED_AT + 8 * DAY - SECOND)) == []
    assert decide(SILENT, minds(ANSWERED_AT + 8 * DAY)) == [WARNED]
    warned = happens(SILENT, WARNED, ANSWERED_AT + 8 * DAY)
    assert decide(warned, minds(ANSWERED_AT + 10 * DAY - SECOND)) == [], "one warning is enough"
    assert decide(warned, minds(ANSWERED_AT + 10 * DAY)) == [RESOLVED_BY_SILENCE]
    assert decide(happens(warned, RESOLVED_BY_SILENCE, ANSWERED_AT + 10 * DAY), minds(ANSWERED_AT + 90 * DAY)) == []


def test_after_a_long_downtime_the_warning_still_gets_its_whole_time() -> None:
    late = ANSWERED_AT + 30 * DAY
    assert decide(SILENT, minds(late)) == [WARNED], "never closed without a warning"
    warned = happens(SILENT, WARNED, late)
    assert decide(warned, minds(late + 2 * DAY - SECOND)) == []
    assert decide(warned, minds(late + 2 * DAY)) == [RESOLVED_BY_SILENCE]


@pytest.mark.parametrize("is_warned", [False, True])
def test_a_word_in_between_cancels_both(is_warned: bool) -> None:
    before = happens(SILENT, WARNED, ANSWERED_AT + 8 * DAY) if is_warned else SILENT
    ours = happens(before, e.ReplyAccepted(message=message(7), author=ANNA), ANSWERED_AT + 9 * DAY)
    ours = happens(ours, e.MessageDelivered(message=message(7)), ANSWERED_AT + 9 * DAY)
    theirs = happens(before, received(2), ANSWERED_AT + 9 * DAY)
    for days in (9, 10, 16):
        assert decide(ours, minds(ANSWERED_AT + days * DAY)) == []
    assert decide(ours, minds(ANSWERED_AT + 17 * DAY)) == [WARNED], "it counts from the new answer"
    for days in (9, 10, 100):
        assert decide(theirs, minds(ANSWERED_AT + days * DAY)) == [], "now we owe the answer"


@pytest.mark.parametrize("before", [NEW, ANNAS, PAUSED, (*ANSWERED, received(2)), (*ANSWERED, UNTIL), RESOLVED])
def test_nothing_is_closed_that_waits_for_us_rests_or_is_over(before: Sequence[e.Event]) -> None:
    assert decide(given(*before), minds(at_minute(10) + 1000 * DAY)) == []


def test_an_answer_that_did_not_arrive_is_still_owed() -> None:
    before = given(*ANNAS, e.ReplyAccepted(message=message(8), author=ANNA))
    for end in (e.MessageFailed(message=message(8), code="left"), e.ReplyCancelled(message=message(8), author=ANNA)):
        assert decide(happens(before, end, at_minute(6)), minds(at_minute(10) + 1000 * DAY)) == []


@pytest.mark.parametrize("is_warned", [False, True])
@pytest.mark.parametrize("waits", [LATER, e.ReplyAccepted(message=message(7), author=ANNA), None])
def test_silence_ends_nothing_while_words_of_ours_wait_to_leave(waits: e.Event | None, is_warned: bool) -> None:
    """Scheduled, in the hold window or on its way, or held for somebody's word."""
    before = happens(SILENT, WARNED, ANSWERED_AT + 8 * DAY) if is_warned else SILENT
    before = happens(before, waits, ANSWERED_AT + 8 * DAY) if waits else before
    asks = replace(minds(ANSWERED_AT + 100 * DAY), is_answer_held=waits is None)
    assert decide(before, asks) == []


@pytest.mark.parametrize(
    "ends",
    [
        e.ConversationReleased(agent=ANNA),
        e.ConversationTransferred(from_group=CLAIMS, to_group=CLAIMS, by=ANNA, reason="asked"),
        e.ConversationResumed(cause="time"),
    ],
)
def test_who_gets_what_rested_is_not_warned_of_silence_at_once(ends: e.Event) -> None:
    awake = happens(given(*ANSWERED, UNTIL), ends, ANSWERED_AT + 50 * DAY)
    assert awake.waiting_since == ANSWERED_AT + 50 * DAY
    assert decide(awake, minds(ANSWERED_AT + 100 * DAY)) == []


def test_a_group_without_the_setting_never_closes_by_itself() -> None:
    assert decide(SILENT, minds(ANSWERED_AT + 1000 * DAY, after=timedelta(0))) == []


def test_a_warning_longer_than_the_silence_comes_at_once_and_has_its_time() -> None:
    assert decide(SILENT, minds(ANSWERED_AT, after=DAY, warn=3 * DAY)) == [WARNED]
    warned = happens(SILENT, WARNED, ANSWERED_AT)
    assert decide(warned, minds(ANSWERED_AT + 3 * DAY - SECOND, after=DAY, warn=3 * DAY)) == []
    assert decide(warned, minds(ANSWERED_AT + 3 * DAY, after=DAY, warn=3 * DAY)) == [RESOLVED_BY_SILENCE]


# The beginning


def test_only_the_first_choice_from_the_menu_counts() -> None:
    choose = c.ChooseGroup(group=CLAIMS, because="choice")
    asked = given(OPENED, received(1), e.MenuOffered())
    events = decide(asked, choose)
    assert events == [e.ConversationQueued(group=CLAIMS, reason="choice")]
    queued = given(OPENED, received(1), e.MenuOffered(), *events)
    assert (asked.unrouted, queued.unrouted, queued.place) == ((message(1),), (), 1)
    assert decide(queued, choose) == []


def test_an_agent_writes_first_only_to_who_agreed() -> None:
    def starts(role: Role, consent: bool) -> c.Command:
        return c.StartConversation(
            number="K-4F7Q",
            contact=OPENED.contact,
            chat=OPENED.chat,
            language="de",
            group=CLAIMS,
            agent=ANNA,
            role=role,
            has_consent=consent,
        )

    conversation = given(*decide(None, starts(Role.AGENT, True)))
    assert (conversation.state, conversation.owner, conversation.waiting_since) == (State.OPEN, ANNA, None)
    with pytest.raises(NoConsent):
        decide(None, starts(Role.LEAD, False))
    with pytest.raises(NotAllowed):
        decide(None, starts(Role.CLERK, True))
