"""FCFS-ALIS, the router's ground floor: whoever waits longest is served first, by the compatible person with the least
on the desk and then the longest idle. Pure: the snapshot is all it knows.

A conversation that fits nobody does not stop the ones behind it. But a heavy one, for which everybody is too busy,
keeps the person with the most room for itself: lighter ones behind it do not fill that room again, else it might wait
for ever. With one unit each and weight one this is exactly first come, first served with assignment to the longest idle
server (Stochastic Systems 4(1), 2014)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush, heapreplace

from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.capacity import admissible
from messenger.domain.routing.explanation import Candidate, Explanation, Filter, nearest_first
from messenger.domain.routing.skills import Skills, meets, missing

_ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`language` empty: any will do. `not_to` are the people who gave it back. Until `sticky_until` it waits for
    `sticky`, unless that person could not take it even with free hands."""

    conversation: ConversationId
    weight: float
    queued_at: datetime
    language: str = ""
    required: Skills = field(default_factory=dict)
    preferred: Skills = field(default_factory=dict)
    age_credit: timedelta = timedelta(0)
    not_to: frozenset[AgentId] = frozenset()
    sticky: AgentId | None = None
    sticky_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`load` and `units` as in capacity.py. `languages` empty: the person answers in none that is asked for.
    `idle_since`: since when they have been as they are, which is when something was last put into their hands, left
    them, or they became available. None is longer than any."""

    agent: AgentId
    availability: Availability
    load: float
    units: float
    skills: Skills = field(default_factory=dict)
    languages: frozenset[str] = frozenset()
    idle_since: datetime | None = None
    is_answering_role: bool = True

    @property
    def share(self) -> float:
        """Of the units in use. Rounded: sums of the same parts in another order are the same load."""
        return round(self.load / self.units, 9) if self.units > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one decision needs and no more: `waiting` stands in the order of service (see `in_order`)."""

    waiting: Sequence[Waiting]
    people: Sequence[Person]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    conversation: ConversationId
    agent: AgentId
    reserved: frozenset[AgentId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nobody can take it now; it keeps its place. `reserved` are the people kept for those before it."""

    conversation: ConversationId
    reserved: frozenset[AgentId] = frozenset()


Decision = Assign | Hold
_Entry = tuple[int, float, datetime, AgentId]


def in_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    """First come, first served; the time somebody waited before (`age_credit`) counts."""
    return sorted(waiting, key=lambda item: (item.queued_at - item.age_credit, item.conversation))


def decisions(snapshot: Snapshot) -> Iterator[Decision]:
    """One decision for every waiting conversation, in order; each sees the loads that the ones before it left."""
    bench = _Bench(snapshot)
    return (bench.place(item) for item in snapshot.waiting)


def explain(snapshot: Snapshot, item: Waiting, reserved: frozenset[AgentId] = frozenset()) -> Explanation:
    """Everybody, as the decision on this item found them. Made apart from the decision, which looks at few people."""
    sticky = _sticky_holder(item, {person.agent: person for person in snapshot.people}, snapshot.now)
    removed = {person.agent: _removed_by(person, item, sticky, reserved) for person in snapshot.people}
    order = sorted((p for p in snapshot.people if not removed[p.agent]), key=lambda p: _rank(p, item))
    position = {person.agent: at for at, person in enumerate(order, start=1)}
    candidates = [_candidate(p, item, removed[p.agent], position.get(p.agent)) for p in snapshot.people]
    return Explanation(candidates=nearest_first(candidates))


def assigned(person: Person, item: Waiting, now: datetime) -> Person:
    return replace(person, load=person.load + item.weight, idle_since=now)


class _Bench:
    """The people while one snapshot is decided. For each kind of conversation those who are fit for it stand in a line,
    the best first. A place in it may be out of date, but only to the better: whoever got something moves back when it
    is their turn. So a decision costs the logarithm of the people, not the people."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._people = {person.agent: person for person in snapshot.people}
        self._now = snapshot.now
        self._lightest = min((item.weight for item in snapshot.waiting), default=0.0)
        self._lines: dict[object, list[_Entry]] = {}
        self._reserved: frozenset[AgentId] = frozenset()

    def place(self, item: Waiting) -> Decision:
        reserved = self._reserved
        agent = self._choose(item)
        if agent is None:
            self._reserve_for(item)
            return Hold(conversation=item.conversation, reserved=reserved)
        self._people[agent] = assigned(self._people[agent], item, self._now)
        return Assign(conversation=item.conversation, agent=agent, reserved=reserved)

    def _choose(self, item: Waiting) -> AgentId | None:
        sticky = _sticky_holder(item, self._people, self._now) if item.sticky else None
        if sticky is not None:
            return None if _removed_by(self._people[sticky], item, sticky, self._reserved) else sticky
        line, passed_over, chosen = self._line(item), [], None
        while line and chosen is None:
            person = self._people[line[0][3]]
            current = _rank(person, item)
            if current != line[0]:
                heapreplace(line, current)
            elif self._is_out(person):
                heappop(line)
            elif person.agent in item.not_to or not admissible(person.load, item.weight, person.units):
                passed_over.append(heappop(line))
            else:
                chosen = person.agent
        for entry in passed_over:
            heappush(line, entry)
        return chosen

    def _line(self, item: Waiting) -> list[_Entry]:
        kind = (frozenset(item.required.items()), frozenset(item.preferred.items()), item.language)
        line = self._lines.get(kind)
        if line is None:
            line = [_rank(person, item) for person in self._people.values() if _is_fit(person, item)]
            heapify(line)
            self._lines[kind] = line
        return line

    def _is_out(self, person: Person) -> bool:
        """For this snapshot: loads only rise while it is decided."""
        return person.agent in self._reserved or not admissible(person.load, self._lightest, person.units)

    def _reserve_for(self, item: Waiting) -> None:
        """One person for all whom the same people could serve is enough: when the first is served, it is the next
        one's turn. What is no heavier than the rest has nothing to fear from the ones behind it."""
        if item.weight <= self._lightest:
            return
        able = [
            person
            for person in self._people.values()
            if _is_fit(person, item) and person.agent not in item.not_to and admissible(0, item.weight, person.units)
        ]
        if able and not any(person.agent in self._reserved for person in able):
            most_room = min(able, key=lambda person: (person.load - person.units, _rank(person, item)))
            self._reserved |= {most_room.agent}


def _rank(person: Person, item: Waiting) -> _Entry:
    """Smallest first. The id settles what is equal otherwise, so that equal snapshots give equal decisions."""
    preferred_missing = missing(person.skills, item.preferred) if item.preferred else 0
    return preferred_missing, person.share, person.idle_since or _ALWAYS, person.agent


def _is_fit(person: Person, item: Waiting) -> bool:
    """Could they take it with free hands?"""
    return (
        person.is_answering_role
        and person.availability.takes_assignments
        and meets(person.skills, item.required)
        and (not item.language or item.language in person.languages)
    )


def _sticky_holder(item: Waiting, people: Mapping[AgentId, Person], now: datetime) -> AgentId | None:
    """Whom it waits for now. Nobody once the time is over, or if that person is absent or unfit."""
    if item.sticky is None or item.sticky_until is None or now >= item.sticky_until:
        return None
    person = people.get(item.sticky)
    is_able = person is not None and _is_fit(person, item) and item.sticky not in item.not_to
    return item.sticky if is_able else None


def _removed_by(
    person: Person, item: Waiting, sticky: AgentId | None, reserved: frozenset[AgentId]
) -> tuple[Filter, ...]:
    """Every filter that removes the person, not the first alone: an explanation must not send a lead in circles."""
    checks = (
        (Filter.ROLE, person.is_answering_role),
        (Filter.SKILLS, meets(person.skills, item.required)),
        (Filter.LANGUAGE, not item.language or item.language in person.languages),
        (Filter.AVAILABILITY, person.availability.takes_assignments),
        (Filter.DECLINED, person.agent not in item.not_to),
        (Filter.CAPACITY, admissible(person.load, item.weight, person.units)),
        (Filter.RESERVED, person.agent not in reserved),
        (Filter.STICKY, sticky is None or person.agent == sticky),
    )
    return tuple(code for code, passed in checks if not passed)


def _candidate(person: Person, item: Waiting, removed: tuple[Filter, ...], position: int | None) -> Candidate:
    return Candidate(
        agent=person.agent,
        removed_by=removed,
        position=position,
        preferred_missing=missing(person.skills, item.preferred),
        load=person.load,
        units=person.units,
        idle_since=person.idle_since,
    )
