"""What the sender remembers of a room is never older than what was committed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from messenger.app.desk_ports import Audience, RoomState
from messenger.channels.errors import Rejected
from messenger.matrix import room_state
from messenger.matrix.engine import Doubted
from messenger.matrix.http import HomeserverClient
from messenger.matrix.room_book import STAFF_BELIEVED_S, RoomBook

ROOM, DESK, ANNA, GHOST = "!room", "@desk:x", "@anna:x", "@ghost:x"
SAFE = RoomState(room_id=ROOM, encrypted=True, algorithm=room_state.MEGOLM, members_known=True, use="group")


class Rows:
    """The rows of one room; `changes` happens while they are read."""

    account = DESK

    def __init__(self, state: RoomState) -> None:
        self.state, self.members = state, frozenset({DESK, ANNA, GHOST})
        self.entitled = frozenset({DESK, ANNA})
        self.changes: Callable[[], None] = lambda: None

    async def room(self, room_id: str) -> RoomState | None:
        return self.state

    async def audience(self, room_id: str) -> Audience:
        members = self.members
        self.changes()
        return Audience(members=members, entitled=self.entitled)


def book_of(rows: Rows) -> RoomBook:
    return RoomBook(HomeserverClient("http://127.0.0.1:1"), rows)  # type: ignore[arg-type]  # no more of it is asked


async def test_what_was_read_while_the_room_changed_is_read_again() -> None:
    rows = Rows(SAFE)
    book = book_of(rows)

    def leaves() -> None:
        rows.members -= {GHOST}
        rows.changes = lambda: None
        book.forget([ROOM])

    rows.changes = leaves
    assert (await book.encrypted(ROOM)).strangers == frozenset()


async def test_who_was_taken_out_by_another_process_gets_no_key_seconds_later() -> None:
    """The removal from the room itself may wait behind something that fails."""
    rows, now = Rows(SAFE), 0.0
    book = RoomBook(HomeserverClient("http://127.0.0.1:1"), rows, clock=lambda: now)  # type: ignore[arg-type]
    assert ANNA in (await book.encrypted(ROOM)).recipients
    rows.entitled -= {ANNA}
    now += STAFF_BELIEVED_S
    assert ANNA not in (await book.encrypted(ROOM)).recipients


async def test_a_room_that_changes_all_the_time_is_not_remembered() -> None:
    rows = Rows(SAFE)
    book = book_of(rows)
    rows.changes = lambda: book.forget([ROOM])
    assert (await book.encrypted(ROOM)).strangers == {GHOST}
    rows.members -= {GHOST}
    assert (await book.encrypted(ROOM)).strangers == frozenset()


@pytest.mark.parametrize("state", [
    RoomState(room_id=ROOM, encrypted=True, algorithm="m.other", members_known=True, use="chat"),
    RoomState(room_id=ROOM, encrypted=True, algorithm="m.other", members_known=True, use="group"),
])  # fmt: skip
async def test_a_room_with_another_encryption_waits_for_a_person(state: RoomState) -> None:
    with pytest.raises(Doubted, match="encryption_off"):
        await book_of(Rows(state)).encrypted(ROOM)


async def test_a_room_without_our_membership_is_not_written_to() -> None:
    with pytest.raises(Rejected):
        await book_of(Rows(replace(SAFE, use="chat", membership="leave"))).encrypted(ROOM)
