"""Who serves: agents, clerks and leads, and the skill groups in which they have these roles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from messenger.domain.ids import AgentId, GroupId


class Role(StrEnum):
    """What a person may do in one skill group. A clerk reads and notes, never claims or sends."""

    AGENT = "agent"
    CLERK = "clerk"
    LEAD = "lead"

    @property
    def can_answer(self) -> bool:
        return self in (Role.AGENT, Role.LEAD)


class ReplyMode(StrEnum):
    """Whose thread messages reach the customer."""

    OWNER = "owner"
    EXPLICIT = "explicit"
    OPEN = "open"


class DevicePolicy(StrEnum):
    """Which devices get room keys (design: "device trust policy"; MSC4153)."""

    ANY = "any"
    CROSS_SIGNED_TOFU = "cross-signed-tofu"
    VERIFIED = "verified"


class DeskLayout(StrEnum):
    """Where a conversation stands: a thread in the group's room, or a case room of its own."""

    THREADS = "threads"
    ROOMS = "rooms"


class Assignment(StrEnum):
    """Whether staff claim what waits, or the matcher assigns it."""

    MANUAL = "manual"
    AUTOMATIC = "automatic"


class AgentIdentity(StrEnum):
    """As whom the customer sees the staff."""

    FIRST_NAME = "first_name"
    ROLE = "role"
    ORGANISATION = "organisation"


class MentionOwner(StrEnum):
    """Which of the customer's messages mention the owner."""

    EACH = "each"
    FIRST_UNANSWERED = "first_unanswered"
    NEVER = "never"


class PauseDefault(StrEnum):
    """What a pause without a time waits for; a message of the customer ends both."""

    REPLY = "reply"
    NEXT_BUSINESS_MORNING = "next_business_morning"


class Reopen(StrEnum):
    """What a customer's message does after the conversation was resolved: the same one goes on, or a new one begins."""

    ALWAYS = "always"
    WINDOW = "window"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One member of staff, of any role. `address` is the Matrix user id."""

    id: AgentId
    address: str
    name: str
    language: str = "en"

    @property
    def first_name(self) -> str:
        return self.name.split()[0] if self.name.split() else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillGroup:
    """A queue and its people. `languages` and `keywords` are routing rules: a conversation in one of these languages,
    or one whose first message holds one of these words, goes here; with `accounts`, only what comes in by these. The
    fields from `reply_mode` on are settings with their defaults; `group_settings` says what they mean and which values
    they take."""

    id: GroupId
    name: str
    is_default: bool = False
    languages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    reply_mode: ReplyMode = ReplyMode.OWNER
    four_eyes: bool = False
    hold_seconds: int = 5
    edit_window_minutes: int = 5
    desk_layout: DeskLayout = DeskLayout.THREADS
    assignment: Assignment = Assignment.MANUAL
    required_skills: Mapping[str, int] = field(default_factory=dict, hash=False)
    load_waiting_percent: int = 20
    load_inactive_minutes: int = 60
    hours: str = ""
    accounts: tuple[str, ...] = ()
    transfer_to: tuple[str, ...] = ()
    fallback_group: str = ""
    tell_customer: frozenset[str] = frozenset({"claim", "transfer"})
    agent_identity: AgentIdentity = AgentIdentity.FIRST_NAME
    menu_label: str = ""
    pause_default: PauseDefault = PauseDefault.REPLY
    auto_resolve_days: int = 0
    auto_resolve_warn_days: int = 1
    reopen: Reopen = Reopen.WINDOW
    reopen_days: int = 7
    keep_messages_days: int = 180
    keep_files_days: int = 180
    announce_preview: bool = True
    recard_after_hours: int = 24
    recard_after_cards: int = 50
    delivery_marks: bool = True
    mention_owner: MentionOwner = MentionOwner.EACH
    device_policy: DevicePolicy = DevicePolicy.CROSS_SIGNED_TOFU
    language: str = "en"
    time_zone: str = "Europe/Berlin"

    def may_transfer_to(self, other: "SkillGroup") -> bool:
        """An empty list allows every group."""
        return not self.transfer_to or other.name.casefold() in {name.casefold() for name in self.transfer_to}
