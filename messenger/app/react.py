"""Pure: what an event of a conversation makes happen outside."""

from collections.abc import Sequence
from typing import assert_never

from messenger.app.effects import (
    EditCard,
    Effect,
    PostCard,
    PostContext,
    PostNotice,
    RelayToThread,
    SendToCustomer,
    ShowFate,
    ShowFateNow,
    TellCustomer,
)
from messenger.domain import events as e
from messenger.domain.conversation import Conversation
from messenger.domain.replies import Fate


def react(
    event: e.Event, before: Conversation | None, after: Conversation, *, tell: frozenset[str]
) -> Sequence[Effect]:
    """The effects of one event, in the order in which they shall leave. `tell` names what this group tells its
    customers."""
    here = after.id
    match event:
        case e.ConversationOpened():
            return []
        case e.ConversationQueued():
            return [PostCard(conversation=here)]
        case e.MessageReceived():
            return [RelayToThread(conversation=here, message=event.message), *_turn_changed(before, after)]
        case e.ConversationClaimed():
            told = (
                [TellCustomer(chat=after.chat, conversation=here, text="C4", agent=event.agent)]
                if "claim" in tell
                else []
            )
            return [EditCard(conversation=here), PostContext(conversation=here, agent=event.agent), *told]
        case e.ConversationReleased():
            return [EditCard(conversation=here)]
        case e.ReplyAccepted():
            return [
                SendToCustomer(conversation=here, chat=after.chat, message=event.message),
                ShowFate(conversation=here, message=event.message),
                *_turn_changed(before, after),
            ]
        case e.ReplyHeld():
            return [
                ShowFateNow(conversation=here, message=event.message),
                PostNotice(conversation=here, text=f"S8.{event.reason}", mention=event.author),
            ]
        case e.NoteKept() | e.MessageDelivered() | e.MessageFailed():
            return [ShowFateNow(conversation=here, message=event.message)]
        case _:
            assert_never(event)


def fate_after(event: e.Event) -> Fate | None:
    """The fate that an event gives to its message."""
    match event:
        case e.ReplyAccepted():
            return Fate.QUEUED
        case e.NoteKept():
            return Fate.KEPT
        case e.ReplyHeld():
            return Fate.HELD
        case e.MessageDelivered():
            return Fate.DELIVERED
        case e.MessageFailed():
            return Fate.FAILED
        case _:
            return None


def _turn_changed(before: Conversation | None, after: Conversation) -> Sequence[Effect]:
    """The card says whose turn it is: it is edited when that changes, not with every message."""
    if before is None or (before.waiting_since is None) == (after.waiting_since is None):
        return []
    return [EditCard(conversation=after.id)]
