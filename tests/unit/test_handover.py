"""Playbooks of who has the conversation: claimed, released, assigned, handed on, moved into a room of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.case_room import MOST_RENEWALS, RENEWALS_IN, renewals
from messenger.domain.conversation import State
from messenger.domain.decide import decide
from messenger.domain.errors import (
    AlreadyInRoom,
    AlreadyTheirs,
    CannotAnswer,
    ClaimLost,
    DomainError,
    NotAllowed,
    NotNow,
    NotYourConversation,
    TransferForbidden,
)
from messenger.domain.ids import AgentId, GroupId
from messenger.domain.pauses import Cause
from messenger.domain.people import Role
from tests.unit.test_conversation import ANNA, ANNAS, BEN, CLAIMS, LEA, NEW, OPENED, at_minute, given, log_of, message

OTHERS = GroupId(UUID(int=21))
PAUSED = (*ANNAS, e.ConversationPaused(by=ANNA, wake_on=(Cause.CUSTOMER,)))
RESOLVED = (*ANNAS, e.ConversationResolved(reason="solved", by=ANNA))
LATER = e.ReplyScheduled(message=message(9), author=ANNA, at=at_minute(90))
DROPPED = e.ScheduleCancelled(message=message(9), author=ANNA, reason="owner")


def claims(agent: AgentId, role: Role = Role.AGENT, *, away: bool = False) -> c.ClaimConversation:
    return c.ClaimConversation(agent=agent, role=role, owner_is_away=away)


def assigns(
    to: AgentId, *, by: AgentId | None, role: Role | None = Role.AGENT, to_role: Role = Role.AGENT
) -> c.AssignConversation:
    return c.AssignConversation(agent=to, agent_role=to_role, reason="handed", by=by, role=role)


def transfers(by: AgentId, role: Role = Role.AGENT, *, allowed: bool = True, to: AgentId | None = None) -> c.Command:
    return c.TransferConversation(to_group=OTHERS, by=by, role=role, is_allowed=allowed, agent=to)


def test_a_colleague_claims_what_rests_and_what_was_to_leave_later_does_not() -> None:
    events = decide(given(*PAUSED, LATER), claims(BEN))
    resumed = e.ConversationResumed(cause="agent", by=BEN)
    assert events == [DROPPED, resumed, e.ConversationClaimed(agent=BEN)]
    conversation = given(*PAUSED, LATER, *events)
    assert (conversation.state, conversation.owner, conversation.pause) == (State.OPEN, BEN, None)
    assert conversation.scheduled == frozenset()


def test_the_owner_who_claims_what_rests_only_resumes_it() -> None:
    """Nothing is claimed, so nobody is briefed a second time and the customer hears nothing of a new face."""
    events = decide(given(*PAUSED, LATER), claims(ANNA))
    assert events == [e.ConversationResumed(cause="agent", by=ANNA)]
    assert given(*PAUSED, LATER, *events).scheduled == {message(9)}


def test_who_claims_from_an_absent_owner_takes_the_later_answers_off_too() -> None:
    events = decide(given(*ANNAS, LATER), claims(BEN, away=True))
    assert events == [DROPPED, e.ConversationReleased(agent=ANNA), e.ConversationClaimed(agent=BEN)]


def test_an_owner_who_is_there_keeps_what_is_open() -> None:
    with pytest.raises(ClaimLost):
        decide(given(*ANNAS), claims(BEN, away=False))


@pytest.mark.parametrize("before", [(OPENED,), RESOLVED])
def test_what_has_no_queue_or_is_over_is_not_claimed(before: Sequence[e.Event]) -> None:
    with pytest.raises(NotNow):
        decide(given(*before), claims(BEN))


@pytest.mark.parametrize("before", [ANNAS, PAUSED])
def test_a_release_ends_a_pause_and_takes_the_later_answers_off(before: Sequence[e.Event]) -> None:
    events = decide(given(*before, LATER), c.ReleaseConversation(agent=ANNA, role=Role.AGENT))
    assert events == [DROPPED, e.ConversationReleased(agent=ANNA)]
    conversation = given(*before, LATER, *events)
    assert (conversation.state, conversation.pause, conversation.scheduled) == (State.QUEUED, None, frozenset())


@pytest.mark.parametrize("before", [(OPENED,), RESOLVED])
def test_what_is_not_in_work_is_not_released_handed_on_or_moved(before: Sequence[e.Event]) -> None:
    for command in (
        c.ReleaseConversation(agent=ANNA, role=Role.LEAD),
        assigns(BEN, by=ANNA, role=Role.LEAD),
        transfers(ANNA, Role.LEAD),
        c.MoveToRoom(agent=ANNA, role=Role.LEAD),
    ):
        with pytest.raises(NotNow):
            decide(given(*before), command)


# Columns: from where, who asks, in which role, what comes of it.
ASSIGNING = [
    (NEW, None, None, None),
    (NEW, LEA, Role.LEAD, None),
    (NEW, ANNA, Role.AGENT, NotAllowed),
    (ANNAS, None, None, NotNow),
    (ANNAS, ANNA, Role.AGENT, None),
    (ANNAS, ANNA, Role.CLERK, None),
    (ANNAS, LEA, Role.LEAD, None),
    (ANNAS, LEA, Role.AGENT, NotYourConversation),
    (PAUSED, None, None, NotNow),
    (PAUSED, ANNA, Role.AGENT, None),
    (PAUSED, LEA, Role.LEAD, None),
    (PAUSED, LEA, Role.CLERK, NotYourConversation),
]


@pytest.mark.parametrize(("before", "by", "role", "refusal"), ASSIGNING)
def test_who_may_give_it_to_a_colleague(
    before: Sequence[e.Event], by: AgentId | None, role: Role | None, refusal: type[DomainError] | None
) -> None:
    command = assigns(BEN, by=by, role=role)
    if refusal:
        with pytest.raises(refusal):
            decide(given(*before), command)
        return
    events = decide(given(*before), command)
    assert events == [e.ConversationAssigned(agent=BEN, reason="handed", by=by)]
    conversation = given(*before, *events)
    rests = before is PAUSED
    assert (conversation.owner, conversation.state) == (BEN, State.PAUSED if rests else State.OPEN)
    assert (conversation.pause is not None) == rests, "a pause goes on with its new owner"


def test_nobody_is_given_what_he_has_or_cannot_answer() -> None:
    with pytest.raises(AlreadyTheirs):
        decide(given(*ANNAS), assigns(ANNA, by=LEA, role=Role.LEAD))
    with pytest.raises(CannotAnswer):
        decide(given(*ANNAS), assigns(BEN, by=ANNA, to_role=Role.CLERK))


def test_what_is_given_away_takes_no_later_answer_of_the_giver_along() -> None:
    assert decide(given(*ANNAS, LATER), assigns(BEN, by=ANNA))[0] == DROPPED


TRANSFERS = [
    (NEW, LEA, Role.LEAD, None),
    (NEW, ANNA, Role.AGENT, NotAllowed),
    (NEW, ANNA, Role.CLERK, NotAllowed),
    (ANNAS, ANNA, Role.AGENT, None),
    (ANNAS, LEA, Role.LEAD, None),
    (ANNAS, BEN, Role.AGENT, NotYourConversation),
    (ANNAS, LEA, Role.CLERK, NotYourConversation),
    (PAUSED, ANNA, Role.AGENT, None),
    (PAUSED, LEA, Role.LEAD, None),
    (PAUSED, BEN, Role.AGENT, NotYourConversation),
]


@pytest.mark.parametrize(("before", "by", "role", "refusal"), TRANSFERS)
@pytest.mark.parametrize("to", [None, BEN])
def test_who_may_hand_it_to_another_group(
    before: Sequence[e.Event], by: AgentId, role: Role, refusal: type[DomainError] | None, to: AgentId | None
) -> None:
    command = transfers(by, role, to=to)
    if refusal:
        with pytest.raises(refusal):
            decide(given(*before), command)
        return
    events = decide(given(*before), command)
    assert events[0] == e.ConversationTransferred(from_group=CLAIMS, to_group=OTHERS, by=by, reason="asked")
    conversation = given(*before, *events)
    assert (conversation.group, conversation.owner, conversation.place) == (OTHERS, to, 2)
    assert conversation.state is (State.OPEN if to else State.QUEUED)
    assert conversation.pause is None and not conversation.is_in_room


def test_the_groups_matrix_is_asked_after_the_right_to_hand_over() -> None:
    with pytest.raises(TransferForbidden):
        decide(given(*ANNAS), transfers(ANNA, allowed=False))
    with pytest.raises(NotYourConversation):
        decide(given(*ANNAS), transfers(BEN, allowed=False))


def test_a_hand_over_keeps_since_when_the_customer_waits_and_drops_later_answers() -> None:
    events = decide(given(*ANNAS, LATER), transfers(ANNA))
    assert events[0] == DROPPED
    assert given(*ANNAS, LATER, *events).waiting_since == given(*ANNAS).waiting_since


@pytest.mark.parametrize(("who", "role"), [(ANNA, Role.AGENT), (LEA, Role.LEAD)])
def test_the_desk_renews_a_closed_room_so_often_and_a_person_as_often_as_they_like(who: AgentId, role: Role) -> None:
    conversation = given(*ANNAS, e.MovedToRoom(by=ANNA, members=(BEN,)))

    def renewed(**by: Any) -> Sequence[e.Event]:
        return decide(conversation, c.RenewRoom(members=(ANNA, BEN), **by))

    again = e.MovedToRoom(members=(BEN,), again=True)
    assert renewed(renewed=MOST_RENEWALS - 1) == [e.CardRenewed(), again]
    assert renewed(renewed=MOST_RENEWALS) == []
    assert renewed(renewed=99, by=who, role=role) == [e.CardRenewed(), replace(again, by=who)]
    with pytest.raises(NotYourConversation):
        renewed(by=BEN, role=Role.AGENT)


def test_only_what_the_desk_did_by_itself_within_a_day_counts_as_renewed() -> None:
    again = e.MovedToRoom(again=True)
    log = log_of(again, again, e.MovedToRoom(), replace(again, by=ANNA))
    assert renewals(log, at_minute(4)) == 2
    assert renewals(log, log[0].at + RENEWALS_IN) == 1


@pytest.mark.parametrize(("who", "role"), [(ANNA, Role.AGENT), (LEA, Role.LEAD)])
def test_a_conversation_moves_into_a_room_of_its_own_once(who: AgentId, role: Role) -> None:
    move = c.MoveToRoom(agent=who, role=role)
    events = decide(given(*ANNAS), move)
    conversation = given(*ANNAS, *events)
    read_along = () if who == ANNA else (who,)  # besides the owner
    assert events == [e.MovedToRoom(by=who, members=read_along)]
    assert (conversation.place, conversation.is_in_room) == (2, True)
    with pytest.raises(AlreadyInRoom):
        decide(conversation, move)
    with pytest.raises(NotYourConversation):
        decide(given(*ANNAS), c.MoveToRoom(agent=BEN, role=Role.AGENT))
