"""Does a room take the place of another? Judged over the state of both."""

import math
from typing import Any

import pytest

from messenger.matrix.successors import closed, judged, needed, power_of, replacement

DESK, ANNA, EVE = "@desk:x", "@anna:x", "@eve:x"
OLD, NEW = "!old", "!new"


def event(type: str, sender: str, key: str = "", **content: Any) -> dict[str, Any]:
    return {"event_id": f"${type}{key}", "type": type, "sender": sender, "state_key": key, "content": content}


def levels(**content: Any) -> dict[str, Any]:
    return event("m.room.power_levels", ANNA, **content)


def old(*more: dict[str, Any], by: str = ANNA, to: str = NEW, version: str = "12") -> list[dict[str, Any]]:
    made = event("m.room.create", ANNA, room_version=version)
    return [made, *more, event("m.room.tombstone", by, replacement_room=to)]


def new(*, names: str = OLD, encrypted: bool = True, by: str = ANNA, **create: Any) -> list[dict[str, Any]]:
    made = event("m.room.create", by, room_version="12", predecessor={"room_id": names}, **create)
    members = [event("m.room.member", user, user, membership="join") for user in (by, DESK)]
    key = [event("m.room.encryption", by, algorithm="m.megolm.v1.aes-sha2")] if encrypted else []
    return [made, *members, *key]


def test_a_successor_that_both_rooms_name_is_one() -> None:
    found = judged(DESK, OLD, old(), NEW, new())
    assert (found.code, found.by, list(found.people)) == ("", ANNA, [ANNA, DESK])


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (old(by=EVE), new(), "no_right"),
        (old(levels(users={EVE: 50}, events={"m.room.tombstone": 50}), by=EVE), new(), "no_right"),
        (old(levels(users={EVE: 100}, events={"m.room.tombstone": 150}), by=EVE), new(), "no_right"),
        (old(to="!third"), new(), "not_replaced"),
        ([], new(), "not_replaced"),
        (old(), new(names="!third"), "elsewhere"),
        (old(), new(encrypted=False), "not_encrypted"),
    ],
)
def test_what_is_missing_is_named(before: list[dict[str, Any]], after: list[dict[str, Any]], code: str) -> None:
    assert judged(DESK, OLD, before, NEW, after).code == code


def test_another_administrator_may_say_it() -> None:
    assert judged(DESK, OLD, old(levels(users={EVE: 100}), by=EVE), NEW, new()).code == ""


@pytest.mark.parametrize(
    ("version", "state", "power"),
    [
        ("12", [], math.inf),
        ("12", [levels(users={ANNA: 0})], math.inf),
        ("11", [], 100),
        ("11", [levels(users={})], 0),
        ("11", [levels(users={ANNA: "50"})], 50),
        ("1", [levels(users_default=10)], 10),
    ],
)
def test_a_creators_power_depends_on_the_version(version: str, state: list[dict[str, Any]], power: float) -> None:
    assert power_of(ANNA, [event("m.room.create", ANNA, room_version=version), *state]) == power


def test_up_to_version_ten_the_content_names_the_creator() -> None:
    assert power_of(EVE, [event("m.room.create", ANNA, room_version="9", creator=EVE)]) == 100
    assert power_of(ANNA, [event("m.room.create", ANNA, room_version="9", creator=EVE)]) == 0


@pytest.mark.parametrize("nonsense", [None, [], "x", {"users": []}, {"users": {ANNA: []}, "events": 7}])
def test_levels_that_are_none_give_no_power(nonsense: Any) -> None:
    state = [{**levels(), "content": nonsense}]
    assert power_of(ANNA, state) == 0 and needed(state, "m.room.tombstone") == 50


@pytest.mark.parametrize("room", [None, 7, "", "new", ["!new"]])
def test_a_tombstone_without_a_room_names_none(room: Any) -> None:
    state = [event("m.room.tombstone", ANNA, replacement_room=room)]
    assert (replacement(state), closed(state)) == (None, ("", ANNA))


def test_what_is_replaced_is_closed_and_what_is_open_is_not() -> None:
    assert closed(old()) == replacement(old()) == (NEW, ANNA)
    assert closed(new()) is None


def test_the_desk_leads_where_it_is_one_of_the_creators_or_has_the_power() -> None:
    assert judged(DESK, OLD, old(), NEW, new(additional_creators=[DESK])).is_led
    assert judged(DESK, OLD, old(), NEW, [*new(), levels(users={DESK: 100}, invite=100)]).is_led
    assert not judged(DESK, OLD, old(), NEW, [*new(), levels(users={DESK: 50}, invite=100)]).is_led
