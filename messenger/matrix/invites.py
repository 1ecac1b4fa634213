"""Whose invitations are taken, and how fast."""

import heapq
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from messenger.matrix.batch import server_of

_MINUTE, _LONG_AGO = timedelta(minutes=1), datetime.min.replace(tzinfo=UTC)
# Of all other servers together, in shares of one: a minute's, at once, and where many begin at the same moment.
ALL_TOGETHER, ALL_AT_ONCE, ALL_BEGINNING = 12, 3, 30


@dataclass(slots=True)
class InvitePolicy:
    """Whose invitations are taken, and how fast. An empty list of servers means all. Each other server may invite
    `per_minute` times a minute (a token bucket of that size); what comes faster gets a later moment, which its row
    keeps. Where many servers invite at once each may less: all of them together take twelve times the share of one, so
    that those who write are served. A server's first invitation waits for no others but those of the same seconds.
    Rooms that are `not_ours` are no chats: what happens there is not looked at."""

    servers: frozenset[str] = frozenset()
    per_minute: int = 30
    not_ours: frozenset[str] = frozenset()
    _full_at: dict[str, datetime] = field(default_factory=dict)  # of servers whose bucket is not full
    _ends: list[tuple[datetime, str]] = field(default_factory=list)  # a heap: when to look at each of them again
    _slot: datetime = _LONG_AGO  # the next, where many servers invite at the same moment

    def allows(self, user_id: str) -> bool:
        return not self.servers or server_of(user_id) in self.servers

    def not_before(self, server: str, now: datetime) -> datetime | None:
        """When the next invitation of this server may be taken; None: at once."""
        self._forget_the_quiet(now)
        full_at = self._full_at.get(server, now)
        if server not in self._full_at:
            heapq.heappush(self._ends, (now, server))
        self._full_at[server] = full_at
        pause, at_once = self._share()
        self._full_at[server] = full_at = full_at + pause
        due = full_at - pause * at_once
        if due <= now and len(self._full_at) > ALL_AT_ONCE:
            due = max(self._slot, now)
            self._slot = due + _MINUTE / self.per_minute / ALL_BEGINNING
        return due if due > now else None

    def _share(self) -> tuple[timedelta, float]:
        """The pause between two invitations of one server, and how many may come without one."""
        active = len(self._full_at)
        pause = _MINUTE / self.per_minute * max(1.0, active / ALL_TOGETHER)
        return pause, max(1.0, self.per_minute * min(1.0, ALL_AT_ONCE / active))

    def _forget_the_quiet(self, now: datetime) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, server = heapq.heappop(self._ends)
            if self._full_at[server] > now:
                heapq.heappush(self._ends, (self._full_at[server], server))
            else:
                del self._full_at[server]


def steady_now() -> datetime:
    """For distances only: it goes on evenly whatever happens to the clock."""
    return datetime.fromtimestamp(time.monotonic(), UTC)
