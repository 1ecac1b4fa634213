"""A pause: work on a conversation rests until something happens."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from messenger.domain.ids import AgentId, MessageId


class Cause(StrEnum):
    """What can wake a paused conversation."""

    TIME = "time"
    CUSTOMER = "customer"
    PARTNER = "partner"
    DOCUMENT = "document"
    API = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """`wake_on` is a set; the first of its causes wakes. `until` is set exactly if it holds `time`. `note` is the
    message in which the reason stands."""

    by: AgentId
    since: datetime
    wake_on: frozenset[Cause]
    until: datetime | None = None
    note: MessageId | None = None
