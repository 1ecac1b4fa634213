"""Who has the conversation: it is claimed, released, assigned, handed to another group."""

from collections.abc import Sequence

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State
from messenger.domain.errors import (
    AlreadyTheirs,
    AlreadyYours,
    CannotAnswer,
    ClaimLost,
    NotAllowed,
    NotNow,
    NotYourConversation,
    TransferForbidden,
)
from messenger.domain.ids import AgentId
from messenger.domain.people import Role


def claim(conversation: Conversation, command: c.ClaimConversation) -> Sequence[e.Event]:
    """Takes what nobody has, what rests in a pause, and what its owner cannot answer now."""
    if not command.role.can_answer:
        raise NotAllowed(action="claim", who="agent")
    if conversation.state not in (State.QUEUED, State.OPEN, State.PAUSED):
        raise NotNow(action="claim", state=conversation.state)
    taken = e.ConversationClaimed(agent=command.agent)
    if conversation.is_paused:
        resumed = e.ConversationResumed(cause="agent", by=command.agent)
        if conversation.is_owned_by(command.agent):
            return [resumed]
        return [*drop_scheduled(conversation, "owner"), resumed, taken]
    if conversation.is_owned_by(command.agent):
        raise AlreadyYours()
    if conversation.owner is None:
        return [taken]
    if command.owner_is_away:
        return [*drop_scheduled(conversation, "owner"), e.ConversationReleased(agent=conversation.owner), taken]
    raise ClaimLost(owner=conversation.owner, at=conversation.claimed_at)


def release(conversation: Conversation, command: c.ReleaseConversation) -> Sequence[e.Event]:
    must_be_in_work(conversation, "release")
    owner = must_speak_for(conversation, command.agent, command.role, "release")
    return [*drop_scheduled(conversation, "owner"), e.ConversationReleased(agent=owner, reason=command.reason)]


def assign(conversation: Conversation, command: c.AssignConversation) -> Sequence[e.Event]:
    """The router gives out what waits; the owner and a lead may also move what somebody has."""
    if not command.agent_role.can_answer:
        raise CannotAnswer()
    if conversation.is_owned_by(command.agent) and not conversation.is_resolved:
        raise AlreadyTheirs()
    is_waiting = conversation.state is State.QUEUED
    if command.by is None:
        if not is_waiting:
            raise NotNow(action="assign", state=conversation.state)
    elif is_waiting:
        if command.role is not Role.LEAD:
            raise NotAllowed(action="assign", who="lead")
    else:
        must_be_in_work(conversation, "assign")
        must_speak_for(conversation, command.by, command.role, "assign")
    given = e.ConversationAssigned(agent=command.agent, reason=command.reason, by=command.by, note=command.note)
    return [*drop_scheduled(conversation, "owner"), given]


def transfer(conversation: Conversation, command: c.TransferConversation) -> Sequence[e.Event]:
    if conversation.state is State.QUEUED:
        if command.role is not Role.LEAD:
            raise NotAllowed(action="transfer", who="lead")
    else:
        must_be_in_work(conversation, "transfer")
        must_speak_for(conversation, command.by, command.role, "transfer")
    if not command.is_allowed:
        raise TransferForbidden()
    assert conversation.group is not None
    moved = e.ConversationTransferred(
        from_group=conversation.group,
        to_group=command.to_group,
        by=command.by,
        reason=command.reason,
        note=command.note,
    )
    cancelled = drop_scheduled(conversation, "owner")
    if command.agent is None:
        return [*cancelled, moved]
    return [*cancelled, moved, e.ConversationAssigned(agent=command.agent, reason="handed", by=command.by)]


def drop_scheduled(conversation: Conversation, reason: str) -> Sequence[e.Event]:
    """Answers that were to leave later do not outlive what they were written for. They are the owner's: nobody else
    schedules one."""
    if conversation.owner is None:
        return []
    return [
        e.ScheduleCancelled(message=message, author=conversation.owner, reason=reason)
        for message in sorted(conversation.scheduled, key=str)
    ]


def must_speak_for(conversation: Conversation, agent: AgentId, role: Role | None, action: str) -> AgentId:
    """The owner, or a lead in the owner's stead; returns the owner."""
    if conversation.owner is None:
        raise NotYourConversation(action=action, owner=None)
    if not conversation.is_owned_by(agent) and role is not Role.LEAD:
        raise NotYourConversation(action=action, owner=conversation.owner)
    return conversation.owner


def must_be_in_work(conversation: Conversation, action: str) -> None:
    if conversation.is_resolved or conversation.state is State.NEW:
        raise NotNow(action=action, state=conversation.state)
