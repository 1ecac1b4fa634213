"""Who serves: agents, clerks and leads, and the skill groups in which they have these roles."""

from dataclasses import dataclass
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
    or one whose first message holds one of these words, goes here."""

    id: GroupId
    name: str
    is_default: bool = False
    languages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    reply_mode: ReplyMode = ReplyMode.OWNER
    device_policy: DevicePolicy = DevicePolicy.CROSS_SIGNED_TOFU
    announce_preview: bool = True
    tell_customer: frozenset[str] = frozenset({"claim"})
    language: str = "en"
    time_zone: str = "Europe/Berlin"
