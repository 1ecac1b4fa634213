"""The buckets of a serving desk. They live in its process, which is the only one that handles its inbox, and are copied
to the database every second: a process that follows begins where this one was, give or take that second."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from messenger.domain.limits import Limit, Scope, take

MOST_BUCKETS = 10_000
JUMP = timedelta(seconds=3)  # less lies between two turns side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    scope: Scope
    key: UUID
    full_at: datetime


class BucketStore(Protocol):
    async def load(self, now: datetime) -> Sequence[Bucket]:
        """Those that are not full."""
        ...

    async def save(self, buckets: Sequence[Bucket], now: datetime) -> None:
        """Those that are full by now are forgotten."""
        ...


@dataclass(slots=True)
class Pace:
    """`limits`: a scope that is not in it has none. `backlog`: if so many things of one person wait, it is a flood."""

    limits: Mapping[Scope, Limit]
    backlog: int = 30
    _full_at: dict[tuple[Scope, UUID], datetime] = field(default_factory=dict)
    _changed: set[tuple[Scope, UUID]] = field(default_factory=set)
    _latest: datetime | None = None

    def take(self, scope: Scope, key: UUID, now: datetime) -> datetime:
        """Takes one token. Returns the moment at which what took it may go."""
        limit = self.limits.get(scope)
        if limit is None:
            return now
        self._follow_the_clock(now)
        self._forget_the_full(now)
        taken = take(limit, self._full_at.get((scope, key)), now)
        self._full_at[scope, key] = taken.full_at
        self._changed.add((scope, key))
        return taken.due

    async def load(self, store: BucketStore, now: datetime) -> None:
        self._full_at |= {(bucket.scope, bucket.key): bucket.full_at for bucket in await store.load(now)}

    async def save(self, store: BucketStore, now: datetime) -> None:
        changed, self._changed = self._changed, set()
        buckets = [
            Bucket(scope=scope, key=key, full_at=self._full_at[scope, key])
            for scope, key in changed
            if (scope, key) in self._full_at
        ]
        if buckets:
            await store.save(buckets, now)

    def _follow_the_clock(self, now: datetime) -> None:
        """When it is set back, nobody waits for the time by which it was wrong."""
        if self._latest is not None and now < self._latest - JUMP:
            back = self._latest - now
            self._full_at = {key: at - back for key, at in self._full_at.items()}
        self._latest = now

    def _forget_the_full(self, now: datetime) -> None:
        if len(self._full_at) >= MOST_BUCKETS:
            self._full_at = {key: at for key, at in self._full_at.items() if at > now}
