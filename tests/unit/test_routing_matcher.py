"""Capacity in units, and the matcher's choices with their reasons."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.capacity import Held, Turn, admissible, load
from messenger.domain.routing.explanation import Filter
from messenger.domain.routing.matcher import Assign, Person, Snapshot, Waiting, decisions, explain, in_order
from messenger.domain.routing.skills import meets

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANNA, BEN = AgentId(UUID(int=1)), AgentId(UUID(int=2))


def person(agent: AgentId, **fields: object) -> Person:
    given = {"availability": Availability.AVAILABLE, "load": 0.0, "units": 2.0} | fields
    return Person(agent=agent, **given)  # type: ignore[arg-type]


def waiting(number: int, **fields: object) -> Waiting:
    given = {"weight": 1.0, "queued_at": NOW} | fields
    return Waiting(conversation=ConversationId(UUID(int=number)), **given)  # type: ignore[arg-type]


def owners(items: Sequence[Waiting], people: Sequence[Person]) -> list[AgentId | None]:
    made = decisions(Snapshot(waiting=items, people=people, now=NOW))
    return [d.agent if isinstance(d, Assign) else None for d in made]


def test_load_falls_by_turn_and_by_the_clock_alone() -> None:
    ours = Held(weight=1, turn=Turn.OURS, since=NOW)
    theirs = Held(weight=1, turn=Turn.CUSTOMERS, since=NOW)
    paused = Held(weight=1, turn=Turn.PAUSED, since=NOW)
    assert load([ours, theirs, paused], NOW) == pytest.approx(1.2)
    assert load([ours, theirs, paused], NOW + HOUR) == 1


def test_binary_fractions_do_not_cost_a_place() -> None:
    assert admissible(0.1 + 0.2 + 3.7, 1, 5) and admissible(0.1 + 0.2, 0.7, 1)
    assert not admissible(4.2, 1, 5) and not admissible(0, 0, 0)


def test_a_missing_skill_is_level_zero() -> None:
    assert meets({"a": 3}, {"a": 3, "b": 0}) and not meets({"a": 2}, {"a": 3})


def test_the_emptier_desk_comes_first_and_then_the_longer_rest() -> None:
    assert owners([waiting(1)], [person(ANNA, load=1.0), person(BEN, load=1.0, units=4.0)]) == [BEN]
    rested = person(BEN, idle_since=NOW - HOUR)
    assert owners([waiting(1)], [person(ANNA, idle_since=NOW), rested]) == [BEN]


def test_every_filter_that_removes_a_person_is_named() -> None:
    ben = person(BEN, availability=Availability.BREAK, load=2.0, is_answering_role=False)
    item = waiting(1, required={"refund": 2}, language="de", not_to=frozenset({BEN}))
    told = explain(Snapshot(waiting=[item], people=[ben], now=NOW), item, frozenset({BEN}))
    assert set(told.candidates[0].removed_by) == set(Filter) - {Filter.STICKY}
    assert json.loads(json.dumps(told.as_json()))["candidates"][0]["position"] is None


def test_a_conversation_waits_for_what_stops_the_nearest_candidate() -> None:
    item = waiting(1, required={"refund": 2})
    absent = person(ANNA, availability=Availability.AWAY)
    full = person(BEN, load=2.0, skills={"refund": 2})

    def reason(*people: Person) -> str:
        return explain(Snapshot(waiting=[item], people=people, now=NOW), item).reason

    assert [reason(), reason(absent), reason(absent, full), reason(replace(full, load=1.0))] == [
        "nobody",
        "skills",
        "capacity",
        "chosen",
    ]


def test_an_explanation_may_be_cut_and_says_how_many_there_were() -> None:
    item = waiting(1)
    told = explain(Snapshot(waiting=[item], people=[person(ANNA, load=1.0), person(BEN)], now=NOW), item)
    short = told.as_json(most=1)
    assert (short["of"], short["free"]) == (2, 2)
    assert [each["agent"] for each in short["candidates"]] == [str(BEN)]  # type: ignore[attr-defined]


def test_it_waits_for_the_previous_owner_until_the_second_and_not_for_an_absent_one() -> None:
    full, free = person(ANNA, load=2.0), person(BEN)
    later = waiting(1, sticky=ANNA, sticky_until=NOW + timedelta(seconds=1))
    assert owners([later], [full, free]) == [None]
    assert owners([waiting(1, sticky=ANNA, sticky_until=NOW)], [full, free]) == [BEN]
    assert owners([later], [person(ANNA, availability=Availability.AWAY), free]) == [BEN]


def test_a_freed_person_takes_the_first_that_fits_until_the_units_are_used() -> None:
    items = [waiting(1, required={"x": 1}), waiting(2), waiting(3), waiting(4)]
    assert owners(items, [person(ANNA)]) == [None, ANNA, ANNA, None]


def test_a_heavy_conversation_does_not_starve_behind_lighter_ones() -> None:
    """Both are too busy for it. Who has the most room gets nothing lighter until it fits."""
    items = [waiting(1, weight=2.0), waiting(2), waiting(3)]
    roomy, busy = person(ANNA, load=1.0), person(BEN, load=3.5, units=4.0)
    assert owners(items, [roomy, busy]) == [None, None, None]
    assert owners(items, [roomy, replace(busy, load=3.0)]) == [None, BEN, None]
    assert owners(items, [replace(roomy, load=0.0), busy]) == [ANNA, None, None]


def test_room_is_kept_only_by_those_who_could_take_the_heavy_one() -> None:
    unfit = person(BEN, units=1.0)
    assert owners([waiting(1, weight=2.0), waiting(2)], [unfit]) == [None, BEN]
    skilled = waiting(1, weight=2.0, required={"x": 1})
    assert owners([skilled, waiting(2)], [person(ANNA, load=1.0)]) == [None, ANNA]


def test_time_waited_before_counts() -> None:
    credited = waiting(2, age_credit=HOUR)
    assert in_order([waiting(1), credited])[0] is credited
