"""Pure: what an event of a conversation makes happen outside."""

from collections.abc import Sequence

from messenger.app.effects.base import Effect
from messenger.app.react_life import living, owned
from messenger.app.react_places import membership, placed
from messenger.app.react_speaking import spoken
from messenger.domain import events as e
from messenger.domain.conversation import Conversation
from messenger.domain.people import SkillGroup
from messenger.domain.replies import Fate


def react(
    event: e.Event, before: Conversation | None, after: Conversation, group: SkillGroup | None
) -> Sequence[Effect]:
    """The effects of one event, in the order in which they shall leave. `group` is where the conversation is now."""
    if before is None:
        return []
    match event:
        case e.ConversationOpened():
            return []
        case e.MenuOffered() | e.ConversationQueued() | e.ConversationTransferred() | e.CardRenewed() | e.MovedToRoom():
            return placed(event, before, after, group)
        case e.ConversationClaimed() | e.ConversationReleased() | e.ConversationAssigned():
            return owned(event, before, after, group)
        case e.MemberInvited() | e.MemberRemoved():
            return membership(event, after)
        case (
            e.ConversationPaused()
            | e.ConversationResumed()
            | e.WakeSuppressed()
            | e.ConversationResolved()
            | e.ConversationReopened()
            | e.SilenceWarned()
        ):
            return living(event, before, after, group)
        case _:
            return spoken(event, before, after, group)


def fate_after(event: e.Event) -> Fate | None:
    """The fate that an event gives to its message."""
    match event:
        case e.ReplyAccepted() | e.ReplyScheduled():
            return Fate.QUEUED
        case e.NoteKept() | e.ReplyCancelled() | e.ScheduleCancelled():
            return Fate.KEPT
        case e.ReplyHeld():
            return Fate.HELD
        case e.MessageDelivered():
            return Fate.DELIVERED
        case e.MessageFailed():
            return Fate.FAILED
        case _:
            return None
