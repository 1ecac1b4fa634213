"""Token buckets. What comes faster than a limit is not refused: it gets a later moment, and keeps its order.

A bucket is one moment, the one at which it is full again. Taking a token moves that moment on by one interval; when it
lies further ahead than the whole bucket is worth, whoever takes the token waits for the difference. So a token can be
taken ahead of its time, each one once, and nobody has to ask again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# A clock that was set back must not keep anybody waiting for the time by which it was wrong.
LONGEST = timedelta(minutes=10)
# Where newcomers would wait longer than this, they are too many to be shown one by one.
PATIENCE = timedelta(seconds=10)


class Scope(StrEnum):
    """What shares a bucket: all that one person says; all that people of another homeserver say; the conversations that
    begin at one of our accounts, and in one group."""

    CONTACT = "contact"
    SERVER = "server"
    ACCOUNT = "account"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many a minute, and so many at once."""

    per_minute: int
    burst: int

    @property
    def interval(self) -> timedelta:
        return timedelta(minutes=1) / self.per_minute

    @property
    def worth(self) -> timedelta:
        """How long an empty bucket takes to be full."""
        return self.interval * self.burst


@dataclass(frozen=True, slots=True)
class Taken:
    """When the bucket is full again now, and when what took the token may go."""

    full_at: datetime
    due: datetime


def take(limit: Limit, full_at: datetime | None, now: datetime) -> Taken:
    """`full_at`: as the last one left it; None: the bucket is full."""
    latest = now + limit.worth + LONGEST
    after = min(max(full_at or now, now), latest) + limit.interval
    return Taken(full_at=after, due=max(now, after - limit.worth))
