"""What has happened to a conversation: the entries of the event log. They hold ids, times, numbers and codes, never
text: a reason or a comment is a note of its own, and the event names it.

`NAMES` maps the name in the log to the class; a changed event gets a new class and an upcaster, never a changed meaning
(a new field with a default changes none)."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOpened:
    """`previous`: an earlier conversation of the same customer that this one follows."""

    number: str
    contact: ContactId
    chat: ChatId
    language: str
    previous: ConversationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuOffered:
    """The customer was asked where the matter belongs: these groups, in the order of their numbers."""

    groups: tuple[GroupId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationQueued:
    """`reason` says which rule chose the group: `default`, `account`, `language:de`, `keyword`, `choice`, `no_choice`,
    `started`; ` closed` behind it: nobody was there at that time."""

    group: GroupId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationClaimed:
    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationReleased:
    """`reason`: empty if it was given back; `left`: its owner answers in this group no more."""

    agent: AgentId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationAssigned:
    """Given to `agent` by the router (`by` None), a lead, or its former owner. `reason`: `routed`, `lead`, `handed`."""

    agent: AgentId
    reason: str
    by: AgentId | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationTransferred:
    """`reason`: `asked`, or `fallback` when nobody of the group that was asked for could take it."""

    from_group: GroupId
    to_group: GroupId
    by: AgentId
    reason: str
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationPaused:
    by: AgentId
    wake_on: tuple[Cause, ...]
    until: datetime | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationResumed:
    """`cause`: one of the pause's causes, or `agent` (by command), or `reply` (the owner answered)."""

    cause: str
    by: AgentId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeSuppressed:
    """The customer wrote, and the pause was to go on all the same."""

    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationResolved:
    """`reason`: `solved`, another code of the group, or `silence` (`by` None)."""

    reason: str
    by: AgentId | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationReopened:
    """`owner`: who has it again; None: it waits in the queue. `cause`: `customer`, `agent` or `reply`."""

    cause: str
    owner: AgentId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceWarned:
    """The customer was told that we will close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRenewed:
    """The old card was out of sight: the conversation goes on under a new one in the same room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedToRoom:
    """From now on the conversation's place is a room of its own, for its owner and these. `by` None: the group has a
    room for each conversation, or the desk does it by itself. `again`: somebody has closed the one before."""

    by: AgentId | None = None
    members: tuple[AgentId, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInvited:
    """This person may read the conversation's own room, all of it."""

    agent: AgentId
    by: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRemoved:
    """This person reads nothing that comes from now on in the conversation's own room."""

    agent: AgentId
    by: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """`is_unverified`: it came from a device that nobody vouches for; None says nothing about the customer's."""

    message: MessageId
    is_unverified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited:
    """By the customer. `is_unverified` as in `MessageReceived`."""

    message: MessageId
    is_unverified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted:
    """By the customer."""

    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAccepted:
    """The message leaves for the customer when the group's hold window is over. `approved_by`: who let a draft or a
    held message go."""

    message: MessageId
    author: AgentId
    approved_by: AgentId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyScheduled:
    message: MessageId
    author: AgentId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleCancelled:
    """`reason`: `withdrawn`, `customer` (who wrote before the time), `owner` (the author is not the owner any more),
    `resolved`."""

    message: MessageId
    author: AgentId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCancelled:
    """Taken back before it left."""

    message: MessageId
    author: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEdited:
    """`is_sent`: the customer has the first version, so the change follows it."""

    message: MessageId
    author: AgentId
    is_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRecalled:
    """Taken back after it had left: the deletion follows it."""

    message: MessageId
    author: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeKeptBack:
    """An edit or a deletion that the customer does not get. `reason`: `late`, `note` (the edit would be a note),
    `draft` (somebody else would have to approve it), `unsafe` (the customer's room), `device`, `not_owner`. `place`:
    the number of an earlier place where it was written, and where its author reads why."""

    message: MessageId
    author: AgentId
    reason: str
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKept:
    """`later`: when it shall leave if somebody approves this draft."""

    message: MessageId
    author: AgentId
    reason: str
    later: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHeld:
    """`later`: when it shall leave if somebody lets it go."""

    message: MessageId
    author: AgentId
    reason: str
    later: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailed:
    message: MessageId
    code: str


Event = (
    ConversationOpened
    | MenuOffered
    | ConversationQueued
    | ConversationClaimed
    | ConversationReleased
    | ConversationAssigned
    | ConversationTransferred
    | ConversationPaused
    | ConversationResumed
    | WakeSuppressed
    | ConversationResolved
    | ConversationReopened
    | SilenceWarned
    | CardRenewed
    | MovedToRoom
    | MemberInvited
    | MemberRemoved
    | MessageReceived
    | MessageEdited
    | MessageDeleted
    | ReplyAccepted
    | ReplyScheduled
    | ScheduleCancelled
    | ReplyCancelled
    | ReplyEdited
    | ReplyRecalled
    | ChangeKeptBack
    | NoteKept
    | ReplyHeld
    | MessageDelivered
    | MessageFailed
)

NAMES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One entry of the log. `version` counts the conversation's events from 1."""

    conversation: ConversationId
    version: int
    event: Event
    at: datetime
    actor: str
