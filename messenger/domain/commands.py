"""What may be asked of a conversation. Everything a rule needs comes with the command."""

from dataclasses import dataclass

from messenger.domain.ids import AgentId, ChatId, ContactId, GroupId, MessageId
from messenger.domain.people import ReplyMode, Role
from messenger.domain.replies import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConversation:
    """The first message of a contact who has no open conversation in this chat."""

    number: str
    contact: ContactId
    chat: ChatId
    language: str
    group: GroupId
    routed_because: str
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveMessage:
    message: MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimConversation:
    """`owner_is_gone`: who owns it has no seat in the group any more."""

    agent: AgentId
    role: Role
    owner_is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseConversation:
    agent: AgentId
    role: Role

    @property
    def is_lead(self) -> bool:
        return self.role is Role.LEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class AddStaffMessage:
    """A message that staff wrote at the conversation's place."""

    message: MessageId
    author: AgentId
    role: Role
    said: Said
    mode: ReplyMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveMessage:
    """A held message, or a draft, shall go out."""

    message: MessageId
    author: AgentId
    by: AgentId
    role: Role
    mode: ReplyMode
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawMessage:
    """A held message shall stay inside."""

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
    | ReceiveMessage
    | ClaimConversation
    | ReleaseConversation
    | AddStaffMessage
    | ApproveMessage
    | WithdrawMessage
    | RecordDelivery
    | RecordFailure
)
