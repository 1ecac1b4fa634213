"""Whose invitations are taken, and how fast."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from messenger.matrix.batch import server_of

MOST_SERVERS = 10_000


@dataclass(slots=True)
class InvitePolicy:
    """Whose invitations are taken, and how fast. An empty list of servers means all. Each other server may invite
    `per_minute` times a minute (a token bucket of that size); what comes faster gets a later moment, which its row
    keeps. Rooms that are `not_ours` are no chats: what happens there is not looked at."""

    servers: frozenset[str] = frozenset()
    per_minute: int = 30
    not_ours: frozenset[str] = frozenset()
    _full_at: dict[str, datetime] = field(default_factory=dict)

    def allows(self, user_id: str) -> bool:
        return not self.servers or server_of(user_id) in self.servers

    def not_before(self, server: str, now: datetime) -> datetime | None:
        """When the next invitation of this server may be taken; None: at once."""
        full_at = max(self._full_at.get(server, now), now) + timedelta(minutes=1) / self.per_minute
        self._forget_the_quiet(now)
        self._full_at[server] = full_at
        due = full_at - timedelta(minutes=1)
        return due if due > now else None

    def _forget_the_quiet(self, now: datetime) -> None:
        if len(self._full_at) >= MOST_SERVERS:
            self._full_at = {server: at for server, at in self._full_at.items() if at > now}


def steady_now() -> datetime:
    """For distances only: it goes on evenly whatever happens to the clock."""
    return datetime.fromtimestamp(time.monotonic(), UTC)
