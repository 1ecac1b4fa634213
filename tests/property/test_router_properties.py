"""Whatever waits and whoever works: no filter is broken, no unit overspent, nobody lost, and the order is kept."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Assign, Person, Snapshot, Waiting, assigned, decisions, explain

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SKILLS, LANGUAGES = ("a", "b"), ("de", "en")


def a_person(chance: random.Random, number: int) -> Person:
    return Person(
        agent=AgentId(UUID(int=number)),
        availability=chance.choice([*[Availability.AVAILABLE] * 9, *Availability]),
        load=chance.choice([0, 0.2, 1, 2]),
        units=chance.choice([0, 1, 2, 4]),
        skills={name: chance.randint(0, 5) for name in SKILLS if chance.random() < 0.8},
        languages=frozenset(tongue for tongue in LANGUAGES if chance.random() < 0.7),
        idle_since=chance.choice([None, NOW, NOW - timedelta(seconds=chance.randrange(9))]),
        is_answering_role=chance.random() < 0.9,
    )


def an_item(chance: random.Random, number: int) -> Waiting:
    return Waiting(
        conversation=ConversationId(UUID(int=number)),
        weight=chance.choice([0.5, 1, 2]),
        queued_at=NOW,
        language=chance.choice(["", *LANGUAGES]),
        required={name: chance.randint(0, 4) for name in SKILLS if chance.random() < 0.4},
        not_to=frozenset(AgentId(UUID(int=n)) for n in range(6) if chance.random() < 0.1),
    )


def a_snapshot(chance: random.Random) -> Snapshot:
    people = [a_person(chance, number) for number in range(chance.randint(0, 6))]
    return Snapshot(waiting=[an_item(chance, n) for n in range(chance.randint(1, 12))], people=people, now=NOW)


def fits(person: Person, item: Waiting) -> bool:
    """The rules of the hard filter once more, written apart from the router."""
    fit_for_it = all(name in person.skills or level == 0 for name, level in item.required.items())
    good_enough = not [n for n, level in item.required.items() if person.skills.get(n, 0) < level]
    speaks = item.language in {"", *person.languages}
    may = person.is_answering_role and person.availability == "available" and person.agent not in item.not_to
    return fit_for_it and good_enough and speaks and may and person.load + item.weight < person.units + 1e-6


def judge(snapshot: Snapshot, *, explained: bool = True) -> int:
    """Replays the decisions one by one. A hold while somebody fits breaks the order: the ones behind would overtake;
    unless that person is kept for a heavier one in front."""
    made = list(decisions(snapshot))
    assert [d.conversation for d in made] == [item.conversation for item in snapshot.waiting]
    people = {person.agent: person for person in snapshot.people}
    heaviest_held = 0.0
    for item, decision in zip(snapshot.waiting, made, strict=True):
        assert not decision.reserved or heaviest_held > min(other.weight for other in snapshot.waiting)
        if explained:
            told = explain(replace(snapshot, people=list(people.values())), item, decision.reserved)
            best = told.candidates[0] if told.candidates else None
            assert (told.reason == "chosen") == isinstance(decision, Assign)
            assert best is None or best.position is None or best.agent == getattr(decision, "agent", None)
        if isinstance(decision, Assign):
            person = people[decision.agent]
            assert fits(person, item) and decision.agent not in decision.reserved
            people[decision.agent] = assigned(person, item, NOW)
        else:
            heaviest_held = max(heaviest_held, item.weight)
            assert not any(fits(p, item) for p in people.values() if p.agent not in decision.reserved)
    return len(made)


def _judge_cases(cases: int, seed: int) -> None:
    chance = random.Random(seed)
    while cases > 0:
        cases -= judge(a_snapshot(chance), explained=False)


def test_no_filter_is_broken_in_thirty_thousand_decisions() -> None:
    _judge_cases(30_000, seed=1)


@pytest.mark.long
def test_no_filter_is_broken_in_a_million_decisions() -> None:
    _judge_cases(1_000_000, seed=2)


@given(st.randoms(use_true_random=False))
def test_what_is_decided_keeps_filters_units_and_order(chance: random.Random) -> None:
    judge(a_snapshot(chance))


@given(st.randoms(use_true_random=False))
def test_equal_snapshots_give_equal_decisions_in_whatever_order_people_stand(chance: random.Random) -> None:
    snapshot = a_snapshot(chance)
    turned = replace(snapshot, people=snapshot.people[::-1])
    assert list(decisions(snapshot)) == list(decisions(snapshot))
    owners = [[getattr(d, "agent", None) for d in decisions(s)] for s in (snapshot, turned)]
    assert owners[0] == owners[1]
