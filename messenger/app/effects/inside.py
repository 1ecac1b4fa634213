"""Effects that stay inside: they become rows of our own queues instead of the outbox."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from messenger.app.effects.base import Effect

TimerKind = Literal["wake", "silence", "later", "menu", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer(Effect):
    """Something shall be looked at, at this moment or later, once; also after a restart. Whether there is still
    anything to do is decided then: an old timer does nothing. `subject` tells several of one kind apart."""

    conversation: UUID
    kind: TimerKind
    at: datetime
    subject: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteGroup(Effect):
    """Something in this group has changed that may let somebody get something to do."""

    group: UUID
