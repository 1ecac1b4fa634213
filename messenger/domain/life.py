"""The life of a conversation: it begins, rests in pauses, ends, and may begin again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State
from messenger.domain.errors import NoConsent, NotAllowed, NotNow, NotYourConversation
from messenger.domain.handover import drop_scheduled, must_speak_for
from messenger.domain.pauses import Cause
from messenger.domain.people import Reopen


def open_(command: c.OpenConversation) -> Sequence[e.Event]:
    begun = e.ConversationOpened(
        number=command.number,
        contact=command.contact,
        chat=command.chat,
        language=command.language,
        previous=command.previous,
    )
    received = e.MessageReceived(message=command.message, is_unverified=command.is_unverified)
    if command.group is None:
        return [begun, received, e.MenuOffered(groups=command.menu)]
    return [begun, received, e.ConversationQueued(group=command.group, reason=command.routed_because)]


def start(command: c.StartConversation) -> Sequence[e.Event]:
    if not command.role.can_answer:
        raise NotAllowed(action="start", who="agent")
    if not command.has_consent:
        raise NoConsent()
    begun = e.ConversationOpened(
        number=command.number,
        contact=command.contact,
        chat=command.chat,
        language=command.language,
        previous=command.previous,
    )
    return [
        begun,
        e.ConversationQueued(group=command.group, reason="started"),
        e.ConversationClaimed(agent=command.agent),
    ]


def choose_group(conversation: Conversation, command: c.ChooseGroup) -> Sequence[e.Event]:
    """Only the first answer counts: the menu's time may run out while the choice is on its way."""
    if conversation.state is not State.NEW:
        return []
    return [e.ConversationQueued(group=command.group, reason=command.because)]


def ask_again(conversation: Conversation, command: c.AskAgain) -> Sequence[e.Event]:
    return [e.MenuOffered(groups=command.menu)] if conversation.state is State.NEW else []


def receive(conversation: Conversation, command: c.ReceiveMessage) -> Sequence[e.Event]:
    """The customer's message wakes a paused conversation and reopens a resolved one. (Whether it belongs to a resolved
    one at all is `reopens`.)"""
    received = e.MessageReceived(message=command.message, is_unverified=command.is_unverified)
    fresh = _fresh_card(conversation, command.is_out_of_sight)
    cancelled = drop_scheduled(conversation, "customer")
    match conversation.state:
        case State.PAUSED if conversation.wakes_on(Cause.CUSTOMER):
            return [*cancelled, *fresh, e.ConversationResumed(cause=Cause.CUSTOMER.value), received]
        case State.PAUSED:
            return [received, e.WakeSuppressed(message=command.message)]
        case State.RESOLVED:
            owner = conversation.owner if command.owner_is_available else None
            return [*fresh, e.ConversationReopened(cause="customer", owner=owner), received]
        case _:
            return [*cancelled, *fresh, received]


def reopens(conversation: Conversation, policy: Reopen, within: timedelta, now: datetime) -> bool:
    """Does a message of the customer belong to this conversation, or to a new one that follows it? The boundary second
    still belongs to it."""
    if not conversation.is_resolved or policy is Reopen.ALWAYS:
        return True
    assert conversation.resolved_at is not None
    return policy is Reopen.WINDOW and now - conversation.resolved_at <= within


def pause(conversation: Conversation, command: c.PauseConversation) -> Sequence[e.Event]:
    """Again while it rests: the new pause takes the place of the old."""
    if conversation.state not in (State.OPEN, State.PAUSED):
        if conversation.state is State.QUEUED:
            raise NotYourConversation(action="pause", owner=None)
        raise NotNow(action="pause", state=conversation.state)
    must_speak_for(conversation, command.agent, command.role, "pause")
    assert (command.until is not None) == (Cause.TIME in command.wake_on)
    return [
        e.ConversationPaused(
            by=command.agent, wake_on=tuple(sorted(command.wake_on)), until=command.until, note=command.note
        )
    ]


def resume(conversation: Conversation, command: c.ResumeConversation) -> Sequence[e.Event]:
    """Any colleague may; whoever resumes what another has paused goes on with it."""
    if not command.role.can_answer:
        raise NotAllowed(action="resume", who="agent")
    if not conversation.is_paused:
        raise NotNow(action="resume", state=conversation.state)
    fresh = _fresh_card(conversation, command.is_out_of_sight)
    resumed = e.ConversationResumed(cause="agent", by=command.agent)
    if conversation.is_owned_by(command.agent):
        return [*fresh, resumed]
    return [*fresh, *drop_scheduled(conversation, "owner"), resumed, e.ConversationClaimed(agent=command.agent)]


def wake(conversation: Conversation, command: c.WakeConversation) -> Sequence[e.Event]:
    """Once: a timer of a pause that is over, or was changed, does nothing."""
    if conversation.pause is None or not conversation.wakes_on(command.cause):
        return []
    if command.cause is Cause.TIME and conversation.pause.until != command.due:
        return []
    fresh = _fresh_card(conversation, command.is_out_of_sight)
    return [*fresh, e.ConversationResumed(cause=command.cause.value)]


def resolve(conversation: Conversation, command: c.ResolveConversation) -> Sequence[e.Event]:
    if conversation.is_resolved or conversation.state is State.NEW:
        raise NotNow(action="resolve", state=conversation.state)
    must_speak_for(conversation, command.agent, command.role, "resolve")
    done = e.ConversationResolved(reason=command.reason, by=command.agent, note=command.note)
    return [*drop_scheduled(conversation, "resolved"), done]


def reopen(conversation: Conversation, command: c.ReopenConversation) -> Sequence[e.Event]:
    if not command.role.can_answer:
        raise NotAllowed(action="reopen", who="agent")
    if not conversation.is_resolved:
        raise NotNow(action="reopen", state=conversation.state)
    fresh = _fresh_card(conversation, command.is_out_of_sight)
    return [*fresh, e.ConversationReopened(cause="agent", owner=command.agent)]


def mind_silence(conversation: Conversation, command: c.MindSilence) -> Sequence[e.Event]:
    """One warning, then one end; never while we owe the answer, never while words of ours wait to leave, and never
    without the whole time of the warning."""
    if command.is_answer_held or conversation.is_about_to_speak:
        return []
    warn_at, close_at = silence_ends(conversation, command.after, command.warn_before)
    if close_at is not None and command.now >= close_at:
        return [e.ConversationResolved(reason="silence")]
    if warn_at is not None and command.now >= warn_at:
        return [e.SilenceWarned()]
    return []


def silence_ends(
    conversation: Conversation, after: timedelta, warn_before: timedelta
) -> tuple[datetime | None, datetime | None]:
    """When we warn, and, once that is done, when we close; None for what is not to come."""
    is_our_turn = conversation.waiting_since is not None
    if not after or conversation.state not in (State.OPEN, State.QUEUED) or is_our_turn or not conversation.answered_at:
        return None, None
    if conversation.warned_at is None:
        return conversation.answered_at + max(after - warn_before, timedelta(0)), None
    return None, max(conversation.answered_at + after, conversation.warned_at + warn_before)


def renew_card(conversation: Conversation) -> Sequence[e.Event]:
    """What is over gets a new card when it is reopened."""
    is_somewhere = conversation.place > 0 and not conversation.is_resolved
    return _fresh_card(conversation, is_somewhere)


def _fresh_card(conversation: Conversation, is_out_of_sight: bool) -> Sequence[e.Event]:
    """A room of its own has no other cards that could push this one out of sight."""
    has_place = conversation.group is not None and not conversation.is_in_room
    return [e.CardRenewed()] if is_out_of_sight and has_place else []
