"""What the sync loop takes for the work of a dishonest homeserver, and what it does not."""

from typing import Any

import pytest

from messenger.app.desk_ports import RoomState
from messenger.matrix import room_state, watch
from messenger.matrix.engine import Decrypted
from messenger.matrix.suspicion import Suspicion
from messenger.matrix.watch import Gap, Numbered, Numbers, Told

ROOM, ANNA, DESK = "!room", "@anna:x", "@desk:x"
SESSION = (ROOM, "curve", "session")
KNOWN = RoomState(room_id=ROOM, encrypted=True, algorithm=room_state.MEGOLM, members_known=True, use="group")


def event(type: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": type, "sender": ANNA, "event_id": "$e", "content": content, **more}


def causes(*state: dict[str, Any], before: RoomState = KNOWN) -> list[str]:
    after, _ = room_state.apply(before, state, own=DESK)
    return [found.cause for found in watch.of_state(before, after, state, own=DESK)]


@pytest.mark.parametrize(
    ("opened", "cause"),
    [
        (Decrypted(state="new"), None),
        (Decrypted(state="waiting_key", reason="no_session"), None),
        (Decrypted(state="undecryptable", reason="before_first_key"), None),  # who comes late has no earlier key
        (Decrypted(state="undecryptable", reason="broken_ciphertext"), "malformed"),
        (Decrypted(state="undecryptable", reason="too_large"), "malformed"),
        (Decrypted(state="quarantine", reason="session_of_another_user"), "foreign_words"),
    ],
)
def test_what_cannot_be_opened_is_suspicious_only_if_nobody_honest_makes_it(opened: Decrypted, cause: str) -> None:
    found = watch.of_event(KNOWN, event("m.room.encrypted", {"a": 1}), opened, own=DESK)
    assert (found.cause if found else None) == cause


def test_what_elements_verification_says_in_clear_is_not_suspicious() -> None:
    """It asks in clear, whatever the room is."""
    content = {"msgtype": "m.key.verification.request", "to": DESK, "body": "…", "methods": ["m.sas.v1"]}
    assert watch.of_event(KNOWN, event("m.room.message", content), None, own=DESK) is None


def test_words_in_clear_are_suspicious_in_a_room_that_is_encrypted() -> None:
    words = event("m.room.message", {"body": "hello"})
    assert watch.of_event(KNOWN, words, None, own=DESK) == Suspicion(cause="clear_words", room=ROOM, user=ANNA)
    assert watch.of_event(RoomState(room_id=ROOM), words, None, own=DESK) is None
    assert watch.of_event(KNOWN, event("m.reaction", {}), None, own=DESK) is None


def test_what_was_deleted_before_it_was_read_is_nothing() -> None:
    assert watch.is_deleted(event("m.room.encrypted", {}))
    assert not watch.is_deleted(event("m.room.encrypted", {"algorithm": "x"}))
    assert not watch.is_deleted(event("m.room.encryption", {}, state_key=""))


def test_the_rules_of_our_own_rooms_are_ours() -> None:
    megolm = {"algorithm": room_state.MEGOLM}
    assert causes(event("m.room.encryption", megolm, state_key="")) == []
    assert causes(event("m.room.encryption", {}, state_key="")) == ["encryption_kept"]
    assert causes(event("m.room.encryption", {"algorithm": "x"}, state_key="")) == ["encryption_off"]
    assert causes(event("m.room.join_rules", {"join_rule": "invite"}, state_key="")) == []
    opened = event("m.room.join_rules", {"join_rule": "public"}, state_key="")
    readable = event("m.room.history_visibility", {"history_visibility": "world_readable"}, state_key="")
    assert causes(opened, readable) == ["room_opened", "room_opened"]
    assert causes(opened, readable, before=RoomState(room_id=ROOM, use="chat")) == []


def numbered(index: int, first: int | None = 0) -> Numbered:
    return Numbered(session=SESSION, index=index, first=first, user=ANNA)


def gap(first: int, last: int) -> Gap:
    return Gap(session=SESSION, user=ANNA, first=first, last=last)


def test_numbers_that_follow_each_other_have_no_gap_whatever_their_order() -> None:
    numbers = Numbers()
    assert numbers.gaps([numbered(1), numbered(0)], {}) == []
    assert numbers.gaps([numbered(2)], {}) == []
    assert numbers.gaps([numbered(1)], {}) == []  # a late one, or a replay


def test_a_number_that_is_left_out_is_a_gap_once() -> None:
    numbers = Numbers()
    assert numbers.gaps([numbered(0), numbered(3)], {}) == [gap(1, 2)]
    assert numbers.gaps([numbered(4)], {}) == []


def test_the_first_number_that_was_for_us_is_where_counting_begins() -> None:
    assert Numbers().gaps([numbered(7, first=5)], {}) == [gap(5, 6)]
    assert Numbers().gaps([numbered(7, first=None)], {}) == []  # from the backup: nobody knows


def test_after_a_restart_the_database_knows_where_counting_was() -> None:
    numbers = Numbers()
    assert numbers.unknown([numbered(9)]) == {SESSION}
    assert numbers.gaps([numbered(9)], {SESSION: 6}) == [gap(7, 8)]
    assert numbers.unknown([numbered(10)]) == set()


def test_what_was_deleted_before_it_was_read_may_be_what_is_missing() -> None:
    numbers = Numbers()
    numbers.excuse(ROOM, ANNA)
    assert numbers.gaps([numbered(0), numbered(2)], {}) == []
    assert numbers.gaps([numbered(4)], {}) == [gap(3, 3)]


def test_the_same_is_told_once_an_hour() -> None:
    told, one = Told(), Suspicion(cause="replayed", room=ROOM, user=ANNA)
    assert told.fresh([one, one], 100.0) == [one]
    told.note([one], 100.0)
    assert told.fresh([one], 3699.0) == []
    assert told.fresh([one], 3701.0) == [one]
