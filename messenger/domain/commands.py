"""What may be asked of a conversation. Everything a rule needs comes with the command: times, settings of the group,
and what others know (is the owner away, may this group hand over to that one)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.domain.pauses import Cause
from messenger.domain.people import ReplyMode, Role
from messenger.domain.replies import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConversation:
    """The first message of a contact who has no conversation in this chat that it could belong to. Without a `group`
    the customer is asked which one of `menu`."""

    number: str
    contact: ContactId
    chat: ChatId
    language: str
    group: GroupId | None
    routed_because: str
    message: MessageId
    is_unverified: bool | None = None
    menu: tuple[GroupId, ...] = ()
    previous: ConversationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConversation:
    """An agent writes first, to a contact who agreed to that."""

    number: str
    contact: ContactId
    chat: ChatId
    language: str
    group: GroupId
    agent: AgentId
    role: Role
    has_consent: bool
    previous: ConversationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseGroup:
    """The customer's answer to the menu, or that there was none in time."""

    group: GroupId
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAgain:
    """The customer's answer to the menu was none."""

    menu: tuple[GroupId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveMessage:
    """`is_out_of_sight`: the card lies so far up, or back, that nobody would see its thread; `owner_is_available`: may
    the last owner be asked first? `is_unverified`: it came from a device that nobody vouches for; None if somebody
    else than the customer wrote it."""

    message: MessageId
    is_unverified: bool | None = None
    is_out_of_sight: bool = False
    owner_is_available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveEdit:
    """`is_unverified` as in `ReceiveMessage`."""

    message: MessageId
    is_unverified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveDeletion:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimConversation:
    """`owner_is_away`: who owns it cannot answer now, or has no seat in the group any more."""

    agent: AgentId
    role: Role
    owner_is_away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseConversation:
    """`reason` as in the event."""

    agent: AgentId
    role: Role
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignConversation:
    """To a colleague in the same group: by the owner, by a lead, or by the router (`by` None)."""

    agent: AgentId
    agent_role: Role
    reason: str
    by: AgentId | None = None
    role: Role | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConversation:
    """Into another group, and there to `agent` if one was named. `is_allowed`: by the groups' matrix."""

    to_group: GroupId
    by: AgentId
    role: Role
    is_allowed: bool
    reason: str = "asked"
    agent: AgentId | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseConversation:
    """`wake_on` is the whole set of what wakes it; `until` is set exactly if it holds `time`."""

    agent: AgentId
    role: Role
    wake_on: frozenset[Cause]
    until: datetime | None = None
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeConversation:
    agent: AgentId
    role: Role
    is_out_of_sight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeConversation:
    """Something that a pause may wait for has happened. For `time`: `due` is the moment for which the timer was set."""

    cause: Cause
    due: datetime | None = None
    is_out_of_sight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveConversation:
    agent: AgentId
    role: Role
    reason: str = "solved"
    note: MessageId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReopenConversation:
    agent: AgentId
    role: Role
    is_out_of_sight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewCard:
    """The room of its card was replaced by another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MindSilence:
    """A timer's question: has the customer been silent for so long that we warn, or close? Both count from our last
    answer; `after` zero means that the group never closes by itself. `is_answer_held`: somebody's words wait to be let
    go."""

    now: datetime
    after: timedelta
    warn_before: timedelta
    is_answer_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveToRoom:
    """Out of the group's room into one of its own, for the owner, whoever asks for it, and `members`."""

    agent: AgentId
    role: Role
    members: tuple[AgentId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRoom:
    """Its own room was closed by somebody (a tombstone): `members` are those who may read it. `by` None: the desk does
    it by itself, as the last `renewed` times within a day."""

    members: tuple[AgentId, ...]
    renewed: int = 0
    by: AgentId | None = None
    role: Role | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteMember:
    """Somebody more may read the conversation's own room."""

    agent: AgentId
    by: AgentId
    role: Role
    is_member: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """Somebody shall read no more in the conversation's own room."""

    agent: AgentId
    by: AgentId
    role: Role
    is_member: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AddStaffMessage:
    """A message that staff wrote at the conversation's place."""

    message: MessageId
    author: AgentId
    role: Role
    said: Said
    mode: ReplyMode
    four_eyes: bool = False
    is_customer_room_safe: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EditStaffMessage:
    """The author changed a message. `is_draft`: it was kept for somebody to approve it; `is_waiting`: it has not left
    yet, so what leaves can still change; `may_follow`: the change can still be carried over to the customer.
    `at`: the new time of one that shall leave later, `stood_at`: the time that it had; `place`: the number of the
    earlier place where it was written."""

    message: MessageId
    author: AgentId
    role: Role
    said: Said
    mode: ReplyMode
    was: str
    is_draft: bool = False
    is_waiting: bool = False
    may_follow: bool = False
    four_eyes: bool = False
    is_customer_room_safe: bool = True
    at: datetime | None = None
    stood_at: datetime | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteStaffMessage:
    """The author took a message back; the flags as for an edit."""

    message: MessageId
    author: AgentId
    was: str
    is_waiting: bool = False
    may_follow: bool = False
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleReply:
    """An answer that shall leave at a time. It is ruled on now, so that its author hears at once what would stop it."""

    message: MessageId
    author: AgentId
    role: Role
    said: Said
    mode: ReplyMode
    at: datetime
    four_eyes: bool = False
    is_customer_room_safe: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SendScheduled:
    message: MessageId
    author: AgentId
    is_customer_room_safe: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveMessage:
    """A held message, or a draft, shall go out. `at`: then, and not at once."""

    message: MessageId
    author: AgentId
    by: AgentId
    role: Role
    mode: ReplyMode
    is_held: bool
    four_eyes: bool = False
    is_customer_room_safe: bool = True
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawMessage:
    """A held message shall stay inside, or a scheduled one not leave."""

    message: MessageId
    author: AgentId
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDelivery:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailure:
    message: MessageId
    code: str


Command = (
    OpenConversation
    | StartConversation
    | ChooseGroup
    | AskAgain
    | ReceiveMessage
    | ReceiveEdit
    | ReceiveDeletion
    | ClaimConversation
    | ReleaseConversation
    | AssignConversation
    | TransferConversation
    | PauseConversation
    | ResumeConversation
    | WakeConversation
    | ResolveConversation
    | ReopenConversation
    | MindSilence
    | RenewCard
    | MoveToRoom
    | RenewRoom
    | InviteMember
    | RemoveMember
    | AddStaffMessage
    | EditStaffMessage
    | DeleteStaffMessage
    | ScheduleReply
    | SendScheduled
    | ApproveMessage
    | WithdrawMessage
    | RecordDelivery
    | RecordFailure
)
