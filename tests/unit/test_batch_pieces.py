"""A backlog in pieces is the same backlog."""

from messenger.matrix.batch import Invite, RoomBatch, SyncBatch
from messenger.matrix.parts import parts_of, pieces_of

MOST = 7


def _event(type: str, number: int) -> dict[str, object]:
    return {"type": type, "event_id": f"${type}{number}", "sender": "@anna:x", "content": {}}


def _backlog() -> SyncBatch:
    timeline = [_event("m.room.encrypted", number) for number in range(20)]
    state = [_event("m.room.tombstone", 0), _event("m.room.member", 0)]
    return SyncBatch(
        next_batch="t2",
        to_device=[{"type": "m.room.encrypted"}] * 3,
        rooms=[RoomBatch(room_id="!one", state=state, timeline=timeline), RoomBatch(room_id="!two", timeline=timeline)],
        invites=[Invite(room_id="!new", sender="@ben:x")],
        left=["!old"],
        changed=["@anna:x"],
        gone=["@ben:x"],
        one_time_keys=5,
    )


def test_nothing_is_missing_doubled_or_moved() -> None:
    pieces = pieces_of(_backlog(), MOST)
    assert [part for piece in pieces for part in parts_of(piece)] == parts_of(_backlog())
    assert max(len(parts_of(piece)) for piece in pieces) == MOST


def test_changed_devices_are_heard_of_once_and_first() -> None:
    first, *others = pieces_of(_backlog(), MOST)
    assert (first.changed, first.gone) == (["@anna:x"], ["@ben:x"])
    assert not any(other.changed or other.gone for other in others)


def test_a_room_ends_behind_what_was_said_in_it() -> None:
    of_one = [part.value["type"] for part in parts_of(_backlog()) if part.where == "!one"]
    assert of_one == ["m.room.member", *["m.room.encrypted"] * 20, "m.room.tombstone"]


def test_a_usual_batch_stays_whole() -> None:
    batch = _backlog()
    assert pieces_of(batch, 100) == [batch]
