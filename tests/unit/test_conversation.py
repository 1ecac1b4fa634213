"""Playbooks of the conversation: given these events, when this is asked, then that happens."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, fold
from messenger.domain.decide import decide
from messenger.domain.errors import AlreadyYours, ClaimLost, NotAllowed, NotHeld, NotYourConversation
from messenger.domain.ids import ALPHABET, AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId, number_for
from messenger.domain.people import ReplyMode, Role
from messenger.domain.replies import Said

ID = ConversationId(UUID(int=7))
ANNA, BEN, LEA = (AgentId(UUID(int=n)) for n in (1, 2, 3))
CLAIMS = GroupId(UUID(int=20))
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
OPENED = e.ConversationOpened(
    number="K-4F7Q", contact=ContactId(UUID(int=30)), chat=ChatId(UUID(int=31)), language="de"
)
QUEUED = e.ConversationQueued(group=CLAIMS, reason="default")


def message(number: int) -> MessageId:
    return MessageId(UUID(int=1000 + number))


def received(number: int) -> e.MessageReceived:
    return e.MessageReceived(message=message(number))


NEW = (OPENED, received(1), QUEUED)
ANNAS = (*NEW, e.ConversationClaimed(agent=ANNA))


def log_of(*events: e.Event) -> list[e.Recorded]:
    """One event a minute."""
    return [
        e.Recorded(conversation=ID, version=n, event=event, at=at_minute(n), actor="test")
        for n, event in enumerate(events, start=1)
    ]


def at_minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def given(*events: e.Event) -> Conversation:
    conversation = fold(log_of(*events))
    assert conversation is not None
    return conversation


def says(
    author: AgentId, text: str = "We are on it.", *, mode: ReplyMode = ReplyMode.OWNER, role: Role = Role.AGENT
) -> c.AddStaffMessage:
    said = Said(type="m.text", text=text)
    return c.AddStaffMessage(message=message(9), author=author, role=role, said=said, mode=mode)


def approves(
    by: AgentId,
    *,
    author: AgentId = ANNA,
    mode: ReplyMode = ReplyMode.OWNER,
    role: Role = Role.AGENT,
    held: bool = True,
) -> c.ApproveMessage:
    return c.ApproveMessage(message=message(9), author=author, by=by, role=role, mode=mode, is_held=held)


def test_the_first_message_opens_and_queues() -> None:
    command = c.OpenConversation(
        number="K-4F7Q",
        contact=OPENED.contact,
        chat=OPENED.chat,
        language="de",
        group=CLAIMS,
        routed_because="default",
        message=message(1),
    )
    assert decide(None, command) == list(NEW)
    conversation = given(*NEW)
    assert (conversation.state, conversation.group, conversation.owner) == (State.QUEUED, CLAIMS, None)
    assert (conversation.version, conversation.opened_at) == (3, at_minute(1))


def test_a_further_message_is_received_whoever_owns_the_conversation() -> None:
    for before in (NEW, ANNAS):
        assert decide(given(*before), c.ReceiveMessage(message=message(2))) == [received(2)]


def test_the_customers_newest_words_say_whether_anybody_vouches_for_their_device() -> None:
    events = list(NEW)
    for command, is_unverified in (
        (c.ReceiveMessage(message=message(2), is_unverified=True), True),
        (c.ReceiveMessage(message=message(3)), True),  # somebody else's
        (c.ReceiveEdit(message=message(2), is_unverified=False), False),
        (c.ReceiveMessage(message=message(4), is_unverified=True), True),
        (c.ReceiveMessage(message=message(5), is_unverified=False), False),
    ):
        events += decide(given(*events), command)
        assert given(*events).is_unverified is is_unverified


@pytest.mark.parametrize("role", [Role.AGENT, Role.LEAD])
def test_an_agent_claims_what_nobody_owns(role: Role) -> None:
    events = decide(given(*NEW), c.ClaimConversation(agent=ANNA, role=role))
    assert events == [e.ConversationClaimed(agent=ANNA)]
    conversation = given(*NEW, *events)
    assert (conversation.state, conversation.owner, conversation.claimed_at) == (State.OPEN, ANNA, at_minute(4))


def test_the_second_claim_loses_and_learns_to_whom() -> None:
    with pytest.raises(ClaimLost) as lost:
        decide(given(*ANNAS), c.ClaimConversation(agent=BEN, role=Role.AGENT))
    assert (lost.value.owner, lost.value.at) == (ANNA, at_minute(4))


def test_what_somebody_left_behind_can_be_claimed() -> None:
    gone = c.ClaimConversation(agent=BEN, role=Role.AGENT, owner_is_away=True)
    events = decide(given(*ANNAS), gone)
    assert events == [e.ConversationReleased(agent=ANNA), e.ConversationClaimed(agent=BEN)]
    assert given(*ANNAS, *events).owner == BEN


def test_who_owns_it_need_not_claim_again() -> None:
    with pytest.raises(AlreadyYours):
        decide(given(*ANNAS), c.ClaimConversation(agent=ANNA, role=Role.AGENT))


@pytest.mark.parametrize("before", [NEW, ANNAS])
def test_a_clerk_never_claims(before: Sequence[e.Event]) -> None:
    with pytest.raises(NotAllowed):
        decide(given(*before), c.ClaimConversation(agent=LEA, role=Role.CLERK))


@pytest.mark.parametrize(("who", "role"), [(ANNA, Role.AGENT), (LEA, Role.LEAD), (ANNA, Role.CLERK)])
def test_the_owner_or_a_lead_gives_it_back(who: AgentId, role: Role) -> None:
    """Also an owner who was made a clerk in the meantime."""
    events = decide(given(*ANNAS), c.ReleaseConversation(agent=who, role=role))
    assert events == [e.ConversationReleased(agent=ANNA)]
    conversation = given(*ANNAS, *events)
    assert (conversation.state, conversation.owner, conversation.is_released) == (State.QUEUED, None, True)


@pytest.mark.parametrize(("before", "who"), [(ANNAS, BEN), (NEW, ANNA), (NEW, BEN)])
def test_nobody_gives_back_what_is_not_his(before: Sequence[e.Event], who: AgentId) -> None:
    with pytest.raises(NotYourConversation):
        decide(given(*before), c.ReleaseConversation(agent=who, role=Role.AGENT))


def test_a_lead_cannot_give_back_what_nobody_owns() -> None:
    with pytest.raises(NotYourConversation):
        decide(given(*NEW), c.ReleaseConversation(agent=LEA, role=Role.LEAD))


def test_the_owners_words_are_accepted_and_the_customer_no_longer_waits() -> None:
    events = decide(given(*ANNAS), says(ANNA))
    assert events == [e.ReplyAccepted(message=message(9), author=ANNA)]
    assert given(*ANNAS).waiting_since == at_minute(2)
    assert given(*ANNAS, *events).waiting_since is None


def test_after_a_release_the_former_owner_only_notes() -> None:
    before = given(*ANNAS, e.ConversationReleased(agent=ANNA))
    assert decide(before, says(ANNA)) == [e.NoteKept(message=message(9), author=ANNA, reason="no_owner")]


def test_a_note_leaves_the_customer_waiting() -> None:
    events = decide(given(*ANNAS), says(ANNA, "// she is my aunt"))
    assert events == [e.NoteKept(message=message(9), author=ANNA, reason="note")]
    assert given(*ANNAS, *events).waiting_since == at_minute(2)


def test_an_answer_with_a_note_inside_is_held_and_waits_for_its_author() -> None:
    held = decide(given(*ANNAS), says(ANNA, "Hello\n// not for her"))
    assert held == [e.ReplyHeld(message=message(9), author=ANNA, reason="note_inside")]
    assert decide(given(*ANNAS, *held), approves(ANNA)) == [
        e.ReplyAccepted(message=message(9), author=ANNA, approved_by=ANNA)
    ]


def test_who_is_no_longer_the_owner_cannot_approve_his_own_held_message() -> None:
    before = given(*ANNAS, e.ConversationReleased(agent=ANNA), e.ConversationClaimed(agent=BEN))
    with pytest.raises(NotYourConversation):
        decide(before, approves(ANNA, author=ANNA))


def test_the_owner_approves_a_colleagues_draft() -> None:
    approved = decide(given(*ANNAS), approves(ANNA, author=BEN, mode=ReplyMode.EXPLICIT))
    assert approved == [e.ReplyAccepted(message=message(9), author=BEN, approved_by=ANNA)]


def test_in_an_open_group_any_agent_approves() -> None:
    assert decide(given(*NEW), approves(BEN, mode=ReplyMode.OPEN)) != []
    with pytest.raises(NotAllowed):
        decide(given(*NEW), approves(LEA, mode=ReplyMode.OPEN, role=Role.CLERK))


def test_an_owner_who_was_made_a_clerk_approves_nothing() -> None:
    with pytest.raises(NotAllowed):
        decide(given(*ANNAS), approves(ANNA, role=Role.CLERK))


def test_only_a_message_that_waits_is_approved_or_taken_back() -> None:
    with pytest.raises(NotHeld):
        decide(given(*ANNAS), approves(ANNA, held=False))
    with pytest.raises(NotHeld):
        decide(given(*ANNAS), c.WithdrawMessage(message=message(9), author=ANNA, is_held=False))


def test_a_message_that_is_taken_back_becomes_a_note() -> None:
    events = decide(given(*ANNAS), c.WithdrawMessage(message=message(9), author=ANNA, is_held=True))
    assert events == [e.NoteKept(message=message(9), author=ANNA, reason="withdrawn")]


@pytest.mark.parametrize(("said", "state"), [("!claim", State.QUEUED), ("！who", State.QUEUED)])
def test_a_command_is_no_message(said: str, state: State) -> None:
    assert decide(given(*NEW), says(ANNA, said)) == []
    assert given(*NEW).state is state


def test_results_of_sends_are_recorded_and_change_nothing_else() -> None:
    before = given(*ANNAS, e.ReplyAccepted(message=message(9), author=ANNA))
    delivered = decide(before, c.RecordDelivery(message=message(9)))
    failed = decide(before, c.RecordFailure(message=message(9), code="left"))
    assert delivered == [e.MessageDelivered(message=message(9))]
    assert failed == [e.MessageFailed(message=message(9), code="left")]


def accepted(number: int) -> e.ReplyAccepted:
    return e.ReplyAccepted(message=message(number), author=ANNA)


def arrived(number: int) -> e.MessageDelivered:
    return e.MessageDelivered(message=message(number))


def failed(number: int) -> e.MessageFailed:
    return e.MessageFailed(message=message(number), code="left")


# Anna's first answer, the customer's next message (minute 6), and her second answer, both on their way.
TWO = (*ANNAS, accepted(8), received(2), accepted(9))


@pytest.mark.parametrize(
    ("then", "waiting_since"),
    [
        ([], None),
        ([arrived(8), arrived(9)], None),
        ([arrived(9), arrived(8)], None),
        ([arrived(8), failed(9)], 6),
        ([failed(9), arrived(8)], 6),
        ([failed(9), failed(8)], 2),
        ([failed(8), failed(9)], 2),
        ([failed(8), arrived(9)], None),
        ([arrived(9), failed(8)], None),
        ([failed(8), received(3), arrived(9)], 9),
        ([received(3), failed(9)], 6),
        ([arrived(8), received(3), failed(9)], 6),
        ([failed(8), received(3), failed(9)], 2),
        ([e.ReplyCancelled(message=message(9), author=ANNA), arrived(8)], 6),
    ],
)
def test_the_customer_waits_since_the_first_message_that_no_answer_has_reached(
    then: Sequence[e.Event], waiting_since: int | None
) -> None:
    expected = at_minute(waiting_since) if waiting_since else None
    assert given(*TWO, *then).waiting_since == expected


def test_the_first_unanswered_message_says_since_when_the_customer_waits() -> None:
    conversation = given(*ANNAS, received(2), received(3))
    assert conversation.waiting_since == at_minute(2)
    answered = (*ANNAS, received(2), e.ReplyAccepted(message=message(9), author=ANNA), received(4))
    assert given(*answered).waiting_since == at_minute(7)


def test_numbers_are_short_readable_and_the_same_for_the_same_conversation() -> None:
    id = ConversationId(UUID(int=0xDEADBEEFCAFE << 64))
    assert number_for(id) == number_for(id)
    assert len(number_for(id)) == len("K-4F7Q") and set(number_for(id)[2:]) <= set(ALPHABET)
    assert not set("01OIL") & set(ALPHABET)


def test_colliding_numbers_become_different_and_longer() -> None:
    id = ConversationId(UUID("a3bb189e-8bf9-3888-9912-ace4e6543002"))
    numbers = [number_for(id, attempt) for attempt in range(9)]
    assert len(set(numbers)) == 9
    assert [len(number) for number in numbers] == [6, 6, 6, 7, 7, 7, 8, 8, 8]
