"""What `!undo` takes back of somebody's own last step with a conversation: the command that leads back to where it was.

Only the newest step, only shortly after it, and only where one command does it. Messages that came meanwhile change
nothing about who has the conversation, so they do not count."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from messenger.domain import commands as c
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State, fold
from messenger.domain.errors import CannotUndo
from messenger.domain.ids import AgentId
from messenger.domain.people import Role

WITHIN = timedelta(minutes=2)
_STEPS = (
    e.ConversationQueued,
    e.ConversationTransferred,
    e.ConversationClaimed,
    e.ConversationReleased,
    e.ConversationAssigned,
    e.ConversationPaused,
    e.ConversationResumed,
    e.ConversationResolved,
    e.ConversationReopened,
    e.MovedToRoom,
)


def undoing(log: Sequence[e.Recorded], agent: AgentId, role: Role, *, actor: str, now: datetime) -> c.Command:
    """`log` is the whole log; `actor` is how it names this person. Raises CannotUndo."""
    steps = [entry for entry in log if isinstance(entry.event, _STEPS)]
    own = [entry for entry in steps if entry.actor == actor]
    if not own:
        raise CannotUndo("nothing")
    if own[-1] is not steps[-1]:
        raise CannotUndo("changed")
    if now - own[-1].at > WITHIN:
        raise CannotUndo("late")
    turn = [entry for entry in own if entry.at == own[-1].at]
    before = fold(entry for entry in log if entry.version < turn[0].version)
    command = _inverse([entry.event for entry in turn], before, agent, role, now)
    if command is None:
        raise CannotUndo("not_simple")
    return command


def _inverse(
    steps: Sequence[e.Event], before: Conversation | None, agent: AgentId, role: Role, now: datetime
) -> c.Command | None:
    if before is None:
        return None
    match steps:
        case [e.ConversationClaimed()]:
            return c.ReleaseConversation(agent=agent, role=role)
        case [e.ConversationReleased(agent=owner)] if owner == agent and before.state is State.OPEN:
            return c.ClaimConversation(agent=agent, role=role)
        case [e.ConversationPaused()] if before.state is State.OPEN:
            return c.ResumeConversation(agent=agent, role=role)
        case [e.ConversationResumed()]:
            return _pause_again(before, agent, role, now)
        case [e.ConversationResolved()] if before.state is State.OPEN and before.is_owned_by(agent):
            return c.ReopenConversation(agent=agent, role=role)
        case _:
            return None


def _pause_again(before: Conversation, agent: AgentId, role: Role, now: datetime) -> c.Command | None:
    pause = before.pause
    if pause is None or (pause.until is not None and pause.until <= now):
        return None
    return c.PauseConversation(agent=agent, role=role, wake_on=pause.wake_on, until=pause.until, note=pause.note)
