"""The groups' boards on a real database: what causes an edit, how often, and what becomes of it. The room is a list."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.boards import renew_boards
from messenger.app.deliver import Deliverer
from messenger.app.effects.groups import EditBoard
from messenger.app.hands import Hands, Organisation
from messenger.app.outside_ports import ChatDoor, CustomerChannel, Desk, FileSource
from messenger.app.records import Place, Said
from messenger.domain.people import DevicePolicy
from messenger.storage import leases
from messenger.storage.models.people import skill_group
from messenger.storage.outbox_queue import SqlOutboxQueue
from tests.integration.staff_desk import DESK, GROUP, ROOM, StaffDesk, staff_reacts

BEN = "@ben:x"


class Wall:
    """A room of which only the board is seen; the `Desk` port as far as a board needs it."""

    account = DESK

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []
        self.said: list[Said] = []
        self.edits: list[str] = []
        self.pinned: Sequence[str] = ()

    def link(self, place: Place) -> str:
        return f"https://x/{place.room}/{place.thread}"

    async def find(self, room: str, txn: str) -> str | None:
        return next((event for event, _ in self.posted if event == f"${txn}"), None)

    async def post(self, place: Place, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        self.posted.append((f"${txn}", said.plain))
        self.said.append(said)
        return f"${txn}"

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: DevicePolicy) -> str:
        assert event == self.posted[0][0]
        self.edits.append(said.plain)
        return f"${txn}"

    async def pin(self, room: str, events: Sequence[str]) -> None:
        self.pinned = events


class Town:
    """The desk with its wall and its outbox."""

    def __init__(self, desk: StaffDesk, wall: Wall, queue: SqlOutboxQueue) -> None:
        self.desk, self.wall, self.queue = desk, wall, queue
        unused: Any = None
        self.hands = Hands(
            units=desk.units,
            desk=cast(Desk, wall),
            channel=cast(CustomerChannel, unused),
            door=cast(ChatDoor, unused),
            files=cast(FileSource, unused),
            organisation=Organisation(name="Linden"),
        )

    async def look(self) -> int:
        return await renew_boards(self.hands)

    async def deliver(self) -> int:
        """Sends the boards' rows that are due."""
        rows = [row for row in await self.queue.claim(100) if isinstance(row.effect, EditBoard)]
        for row in rows:
            outcome = await Deliverer(self.hands).deliver(row.effect, row.txn)
            async with self.desk.engine.begin() as connection:
                await self.queue._leave_behind(connection, [outcome])
                await connection.exec_driver_sql(f"UPDATE outbox SET state = 'sent' WHERE id = {row.id}")
        return len(rows)

    async def half_a_minute_later(self) -> None:
        async with self.desk.engine.begin() as connection:
            await connection.execute(sa.update(skill_group).values(board_edit_at=sa.func.now()))

    async def claim(self) -> None:
        await self.desk.put(staff_reacts(BEN, "👀"))
        await self.desk.work(1)


@pytest.fixture
async def town(database: AsyncEngine) -> Town:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    async with database.begin() as connection:
        await connection.execute(sa.update(skill_group).where(skill_group.c.name == GROUP).values(room_id=ROOM))
    lease = await leases.acquire(database, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    return Town(desk, Wall(), SqlOutboxQueue(database, desk.keys, desk=DESK, device="D", lease=lease))


async def test_the_board_is_posted_and_pinned_once_and_then_edited(town: Town) -> None:
    assert (await town.look(), await town.deliver()) == (1, 1)
    [(event, text)] = town.wall.posted
    assert list(town.wall.pinned) == [event]
    assert "Waiting: 1, the oldest since" in text and "Here: ben 0/5" in text
    await town.half_a_minute_later()
    await town.claim()
    assert (await town.look(), await town.deliver()) == (1, 1)
    assert len(town.wall.posted) == 1
    assert "Waiting: nothing" in town.wall.edits[0] and "In work: 1" in town.wall.edits[0]
    assert "Here: ben 1/5" in town.wall.edits[0]


async def test_what_reads_the_same_is_not_edited(town: Town) -> None:
    await town.look()
    await town.deliver()
    for _ in range(3):
        await town.half_a_minute_later()
        assert await town.look() == 0
    assert town.wall.edits == []


async def test_a_board_is_edited_at_most_once_in_half_a_minute(town: Town) -> None:
    await town.look()
    assert await town.look() == 0, "wanted already"
    await town.deliver()
    await town.claim()
    assert await town.look() == 0, "it was edited just now"
    async with town.desk.engine.begin() as connection:
        wait = await connection.scalar(sa.select(skill_group.c.board_edit_at - sa.func.now()))
    assert timedelta(seconds=29) < wait <= timedelta(seconds=30)  # type: ignore[operator]
    await town.half_a_minute_later()
    assert await town.look() == 1


async def test_of_two_processes_that_see_the_same_change_one_edits(town: Town) -> None:
    async with town.desk.units() as unit:
        [group] = await unit.boards.due()
    booked = []
    for _ in range(2):
        async with town.desk.units() as unit:
            booked.append(await unit.boards.book(group, pause=timedelta(seconds=30)))
    assert booked == [True, False]


async def test_a_crash_after_the_post_does_not_make_a_second_board(town: Town) -> None:
    await town.look()
    [row] = [row for row in await town.queue.claim(100) if isinstance(row.effect, EditBoard)]
    await Deliverer(town.hands).deliver(row.effect, row.txn)
    outcome = await Deliverer(town.hands).deliver(row.effect, row.txn)
    assert len(town.wall.posted) == 1
    assert outcome.board is not None and outcome.board[1] == town.wall.posted[0][0]


async def test_a_turn_does_not_wait_for_a_board_that_is_being_written(town: Town) -> None:
    """The group's row is locked by who books the board; a claim in the same group commits meanwhile."""
    async with town.desk.units() as unit:
        [group] = await unit.boards.due()
        assert await unit.boards.book(group, pause=timedelta(seconds=30))
        await town.claim()
        id = (await town.desk.conversations())[0]
        async with town.desk.units() as other:
            assert (await other.conversations.lock(id)).owner is not None
