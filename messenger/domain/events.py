"""What has happened to a conversation: the entries of the event log. They hold ids, numbers and codes, never text.

`NAMES` maps the name in the log to the class; a changed event gets a new class and an upcaster, never a changed
meaning."""

from dataclasses import dataclass
from datetime import datetime

from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOpened:
    number: str
    contact: ContactId
    chat: ChatId
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationQueued:
    """`reason` says which rule chose the group: `default`, `language:de`, `keyword`."""

    group: GroupId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationClaimed:
    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationReleased:
    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAccepted:
    """The message leaves for the customer."""

    message: MessageId
    author: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKept:
    message: MessageId
    author: AgentId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHeld:
    message: MessageId
    author: AgentId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    message: MessageId
    code: str


Event = (
    ConversationOpened
    | ConversationQueued
    | MessageReceived
    | ConversationClaimed
    | ConversationReleased
    | ReplyAccepted
    | NoteKept
    | ReplyHeld
    | MessageDelivered
    | MessageFailed
)

NAMES: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        ConversationOpened,
        ConversationQueued,
        MessageReceived,
        ConversationClaimed,
        ConversationReleased,
        ReplyAccepted,
        NoteKept,
        ReplyHeld,
        MessageDelivered,
        MessageFailed,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One entry of the log. `version` counts the conversation's events from 1."""

    conversation: ConversationId
    version: int
    event: Event
    at: datetime
    actor: str
