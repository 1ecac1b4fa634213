"""A /sync answer as values: what has the wrong shape is left out, and nothing raises."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messenger.matrix.batch import as_event_id, as_text, parse, server_of
from messenger.matrix.invites import InvitePolicy

GOOD = {"event_id": "$1", "sender": "@anna:x", "type": "m.room.message", "content": {"body": "x"}}


def joined(*events: Any, **room: Any) -> dict[str, Any]:
    return {"next_batch": "s1", "rooms": {"join": {"!r": {"timeline": {"events": list(events)}, **room}}}}


@pytest.mark.parametrize("answer", [None, [], "x", 7, {}, {"next_batch": 7}, {"next_batch": ""}, {"next_batch": "a\0"}])
def test_an_answer_without_a_token_is_none(answer: object) -> None:
    assert parse(answer) is None


BAD_EVENTS: list[Any] = [
    None, 7, "x", [], {}, {**GOOD, "event_id": 7}, {**GOOD, "event_id": "x"}, {**GOOD, "event_id": "$\0"},
    {**GOOD, "event_id": "$" + "x" * 300}, {**GOOD, "sender": "anna"}, {**GOOD, "sender": "@anna"},
    {**GOOD, "sender": "@a\ud800:x"}, {**GOOD, "type": None}, {**GOOD, "content": []}, {**GOOD, "state_key": 7},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_EVENTS)
def test_a_malformed_event_is_left_out_and_its_neighbours_stay(bad: object) -> None:
    batch = parse(joined(bad, GOOD, bad))
    assert batch is not None and list(batch.rooms[0].timeline) == [GOOD]


@pytest.mark.parametrize("room_id", ["", "!", "r", "!" + "x" * 300, "!a\0", "!a\u202e"])
def test_a_room_without_a_proper_id_is_left_out(room_id: str) -> None:
    rooms = {room_id: {}, "!good": {}}
    batch = parse({"next_batch": "s1", "rooms": {"join": rooms, "leave": rooms}})
    assert batch is not None
    assert ([room.room_id for room in batch.rooms], list(batch.left)) == (["!good"], ["!good"])


def test_state_of_the_timeline_comes_after_the_state_before_it() -> None:
    early = {**GOOD, "event_id": "$s", "state_key": ""}
    late = {**GOOD, "event_id": "$t", "state_key": ""}
    batch = parse(joined(late, GOOD, state={"events": [early]}))
    assert batch is not None
    assert [event["event_id"] for event in batch.rooms[0].state] == ["$s", "$t"]


def test_an_invitation_names_who_invites() -> None:
    member = {"type": "m.room.member", "content": {"membership": "invite"}, "sender": "@anna:x"}
    for state, senders in (
        ([member], ["@anna:x"]),
        ([None, {}, {**member, "sender": 7}], []),
        ([{"type": "m.room.name"}, member], ["@anna:x"]),
        ("nonsense", []),
    ):
        batch = parse({"next_batch": "s1", "rooms": {"invite": {"!r": {"invite_state": {"events": state}}}}})
        assert batch is not None and [invite.sender for invite in batch.invites] == senders


@pytest.mark.parametrize(
    "value", ["plain", "with\nline", "\0nul\0", "half \ud83d", "joined \U0001f600", "\u202e", "", 7, None, ["x"], {}]
)
def test_texts_can_always_be_stored(value: object) -> None:
    text = as_text(value)
    assert "\0" not in text
    text.encode()
    assert text == value or not isinstance(value, str) or "\0" in value or "\ud83d" in value


@pytest.mark.parametrize("value", ["$", "x", "$a\0", "$" + "x" * 300, 7, None, "$a\ud800"])
def test_what_is_no_event_id_is_none(value: object) -> None:
    assert as_event_id(value) == ""


@pytest.mark.parametrize("junk", [{}, [], None, 7, True])
def test_an_encrypted_event_with_a_senseless_sender_key_has_none(junk: object) -> None:
    sealed = {**GOOD, "type": "m.room.encrypted", "content": {"sender_key": junk, "ciphertext": "x"}}
    batch = parse(joined(sealed))
    assert batch is not None and batch.rooms[0].timeline[0]["content"] == {"ciphertext": "x"}


@pytest.mark.parametrize(("count", "taken"), [(0, 0), (50, 50), (-1, None), (2**70, None), (True, None), ("5", None)])
def test_only_a_sensible_count_of_one_time_keys_is_believed(count: object, taken: int | None) -> None:
    batch = parse({"next_batch": "s1", "device_one_time_keys_count": {"signed_curve25519": count}})
    assert batch is not None and batch.one_time_keys == taken


def test_the_server_of_an_address_may_have_a_port() -> None:
    assert server_of("@anna:example.org:8448") == "example.org:8448"


# ── Whose invitations are taken ──

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_an_empty_list_of_servers_lets_everybody_in() -> None:
    assert InvitePolicy().allows("@anna:anywhere.example")
    closed = InvitePolicy(frozenset({"partner.example"}))
    assert closed.allows("@anna:partner.example")
    assert not closed.allows("@anna:partner.example.evil") and not closed.allows("@partner.example:evil")


def test_a_server_may_invite_so_often_a_minute_and_then_waits_its_turn() -> None:
    policy = InvitePolicy(per_minute=30)
    due = [policy.not_before("flood.example", NOW) for _ in range(90)]
    assert due[:30] == [None] * 30
    assert due[30] == NOW + timedelta(seconds=2)
    assert due[89] == NOW + timedelta(minutes=2)
    assert policy.not_before("quiet.example", NOW) is None


def test_a_quiet_minute_fills_the_share_again() -> None:
    policy = InvitePolicy(per_minute=2)
    assert [policy.not_before("a", NOW) for _ in range(3)] == [None, None, NOW + timedelta(seconds=30)]
    later = NOW + timedelta(minutes=3)
    assert [policy.not_before("a", later) for _ in range(3)] == [None, None, later + timedelta(seconds=30)]


def test_many_servers_at_once_share_what_twelve_may_and_none_waits_for_the_others() -> None:
    policy, wait = InvitePolicy(per_minute=10), timedelta(seconds=10)
    times = [NOW + timedelta(seconds=number / 100) for number in range(5000)]
    due = [policy.not_before(f"s{number % 50}", now) or now for number, now in enumerate(times)]
    assert max(due[:50]) <= NOW + wait, "the first of each"
    assert sum(moment < NOW + timedelta(minutes=1) for moment in due) <= 50 + 12 * 10
    assert max(sum(0 <= (other - moment).total_seconds() < 1 for other in due) for moment in due[::50]) <= 20
    assert (policy.not_before("quiet", times[-1]) or NOW) <= times[-1] + wait
    later = NOW + timedelta(hours=2)
    assert [policy.not_before("s0", later) for _ in range(10)] == [None] * 10, "it is over some time"


def test_many_servers_do_not_fill_the_memory() -> None:
    policy = InvitePolicy()
    for number in range(30_000):
        policy.not_before(f"server{number}", NOW + timedelta(seconds=number))
    assert len(policy._full_at) < 100 and len(policy._ends) < 100
