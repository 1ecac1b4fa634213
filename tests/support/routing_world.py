"""A virtual day of arrivals and finished conversations around the production router; time is in seconds."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from statistics import fmean, stdev
from uuid import UUID

from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Assign, Person, Snapshot, Waiting, assigned, decisions

START = datetime(2026, 1, 1, tzinfo=UTC)
WARM_UP = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    rates: Sequence[float]
    can_serve: Sequence[set[int]]
    service_rates: Sequence[float]


class Replication:
    """One run: after `seconds` nobody comes any more and what waits is served, which changes no earlier wait."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.people = [
            Person(agent=AgentId(UUID(int=j)), availability=Availability.AVAILABLE, load=0, units=1,
                   skills={str(c): 1 for c in served})
            for j, served in enumerate(world.can_serve)
        ]  # fmt: skip
        self.waiting: dict[ConversationId, Waiting] = {}
        self.kinds: dict[ConversationId, tuple[int, float]] = {}
        self.finishing: list[tuple[float, int]] = []
        self.waits: list[tuple[float, int, float]] = []

    def run(self, seconds: float) -> list[list[float]]:
        """The waits of each type, without those of the warm-up."""
        now = self._until_next()
        while now < seconds or self.finishing:
            if now < seconds and (not self.finishing or now < self.finishing[0][0]):
                self._arrive(now)
                now += self._until_next()
            else:
                self._finish(*heapq.heappop(self.finishing))
        assert not self.waiting
        warm = WARM_UP * seconds
        return [[w for at, c, w in self.waits if c == kind and at >= warm] for kind in range(len(self.world.rates))]

    def _until_next(self) -> float:
        return self.random.expovariate(sum(self.world.rates))

    def _arrive(self, now: float) -> None:
        kind = self.random.choices(range(len(self.world.rates)), self.world.rates)[0]
        id_ = ConversationId(UUID(int=len(self.kinds)))
        self.kinds[id_] = (kind, now)
        item = Waiting(conversation=id_, weight=1, queued_at=_at(now), required={str(kind): 1})
        free = [person for person in self.people if person.load == 0]
        self.waiting[id_] = item
        self._give_out([item], free, now)

    def _finish(self, now: float, server: int) -> None:
        """All others are busy, or nobody waits whom they could serve."""
        freed = self.people[server] = replace(self.people[server], load=0, idle_since=_at(now))
        self._give_out(list(self.waiting.values()), [freed], now)

    def _give_out(self, waiting: Sequence[Waiting], people: Sequence[Person], now: float) -> None:
        """As in production: the first that can be given out."""
        for decision in decisions(Snapshot(waiting=waiting, people=people, now=_at(now))):
            if isinstance(decision, Assign):
                return self._begin(decision, self.waiting.pop(decision.conversation), now)

    def _begin(self, decision: Assign, item: Waiting, now: float) -> None:
        server, (kind, came) = decision.agent.int, self.kinds[item.conversation]
        self.people[server] = assigned(self.people[server], item, _at(now))
        self.waits.append((came, kind, now - came))
        heapq.heappush(self.finishing, (now + self.random.expovariate(self.world.service_rates[server]), server))


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def z_scores(world: World, exact: Sequence[tuple[float, float]], runs: int, seconds: float) -> list[float]:
    """How far means of independent replications lie from the exact (P(wait), E[wait]) of each type."""
    replications = [Replication(world, seed).run(seconds) for seed in range(runs)]
    scores = []
    for kind, (p_wait, mean) in enumerate(exact):
        shares = [fmean(wait > 0 for wait in run[kind]) for run in replications]
        means = [fmean(run[kind]) for run in replications]
        scores += [_z(shares, p_wait), _z(means, mean)]
    return scores


def _z(values: Sequence[float], exact: float) -> float:
    return (fmean(values) - exact) / (stdev(values) / sqrt(len(values)))
