"""What state events make of a room. Encryption can only be switched on; absurd values count as none."""

from collections.abc import Mapping
from typing import Any

import pytest

from messenger.app.desk_ports import RoomState
from messenger.matrix.room_state import MEGOLM, apply

OWN = "@desk:x"
PLAIN = RoomState(room_id="!r")
SEALED = RoomState(room_id="!r", encrypted=True, algorithm=MEGOLM)


def event(kind: str, content: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    return {"type": kind, "state_key": key, "content": content, "event_id": "$e", "sender": "@a:x"}


def after(room: RoomState, kind: str, content: Mapping[str, Any], key: str = "") -> RoomState:
    return apply(room, [event(kind, content, key)], own=OWN)[0]


def test_encryption_is_switched_on_with_its_limits() -> None:
    wanted = {"algorithm": MEGOLM, "rotation_period_ms": 1000, "rotation_period_msgs": 5}
    room = after(PLAIN, "m.room.encryption", wanted)
    assert (room.encrypted, room.algorithm, room.rotation_ms, room.rotation_messages) == (True, MEGOLM, 1000, 5)


@pytest.mark.parametrize("content", [{}, {"algorithm": ""}, {"algorithm": None}, {"algorithm": ["x"]}])
def test_an_empty_event_does_not_switch_encryption_off(content: Mapping[str, Any]) -> None:
    assert after(SEALED, "m.room.encryption", content) == SEALED


def test_another_algorithm_is_kept_so_that_nothing_is_sent() -> None:
    room = after(SEALED, "m.room.encryption", {"algorithm": "m.none"})
    assert room.encrypted and room.algorithm == "m.none"


def test_encryption_for_another_state_key_means_nothing() -> None:
    assert after(PLAIN, "m.room.encryption", {"algorithm": MEGOLM}, key="x") == PLAIN


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**53, 2**80, True, "5", None, 1.5, [], {}])
def test_a_rotation_that_cannot_be_stored_counts_as_none(value: object) -> None:
    room = after(SEALED, "m.room.encryption", {"algorithm": MEGOLM, "rotation_period_msgs": value})
    assert room.rotation_messages is None


@pytest.mark.parametrize("value", ["\0", "\ud800", "a" * 9_000, "\u202e"])
def test_an_absurd_algorithm_can_be_stored(value: str) -> None:
    room = after(PLAIN, "m.room.encryption", {"algorithm": value})
    assert room.encrypted and "\0" not in room.algorithm and len(room.algorithm) <= 100
    room.algorithm.encode()


@pytest.mark.parametrize(("said", "taken"), [("joined", "joined"), ("nonsense", "shared"), (None, "shared")])
def test_an_unknown_visibility_is_the_specs_default(said: object, taken: str) -> None:
    assert after(PLAIN, "m.room.history_visibility", {"history_visibility": said}).history_visibility == taken


def test_memberships_are_collected_and_the_last_one_counts() -> None:
    events = [
        event("m.room.member", {"membership": "invite"}, "@anna:x"),
        event("m.room.member", {"membership": "join"}, "@anna:x"),
        event("m.room.member", {"membership": "nonsense"}, "@ben:x"),
        event("m.room.member", {"membership": "join"}, "not a user"),
        event("m.room.member", {"membership": "ban"}, OWN),
    ]
    room, members = apply(PLAIN, events, own=OWN)
    assert members == {"@anna:x": "join", OWN: "ban"}
    assert room.membership == "ban"
