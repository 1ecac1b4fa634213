"""Seats in a group's room, as they are carried out: with one go the keys of all that was said there."""

from collections.abc import Awaitable
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import Deliverer
from messenger.app.effects.groups import SeatMember, UnseatMember
from messenger.app.hands import Hands, Organisation
from messenger.domain.people import DevicePolicy
from messenger.storage.models.people import skill_group
from tests.integration.staff_desk import DESK, GROUP, ROOM, StaffDesk

BEN, CLEO = "@ben:x", "@cleo:x"


class Door:
    """The `Desk` port as far as seats need it."""

    account = DESK

    def __init__(self) -> None:
        self.seated: list[tuple[str, DevicePolicy]] = []
        self.inside: set[str] = set()
        self.meanwhile: list[Awaitable[None]] = []

    async def seat(self, room: str, address: str, *, policy: DevicePolicy) -> None:
        self.seated.append((address, policy))
        self.inside.add(address)
        await self._meanwhile()

    async def unseat(self, room: str, address: str) -> None:
        self.inside.discard(address)
        await self._meanwhile()

    async def _meanwhile(self) -> None:
        if self.meanwhile:
            await self.meanwhile.pop()


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    async with database.begin() as connection:
        await connection.execute(sa.update(skill_group).values(room_id=ROOM))
    return desk


async def carry_out(desk: StaffDesk, *meanwhile: Awaitable[None], first: int = 0) -> Door:
    """All that the outbox holds of seats behind the first ones, in its order."""
    door, unused = Door(), cast(Any, None)
    door.meanwhile += meanwhile
    hands = Hands(
        units=desk.units,
        desk=cast(Any, door),
        channel=unused,
        door=unused,
        files=unused,
        organisation=Organisation(name="Linden"),
    )
    seats = [effect for effect in await desk.effects() if isinstance(effect, SeatMember | UnseatMember)]
    for effect in seats[first:]:
        await Deliverer(hands).deliver(effect, "txn")
    return door


async def test_who_was_taken_out_before_their_seat_was_ready_gets_no_seat_and_no_keys(desk: StaffDesk) -> None:
    """The homeserver was away; somebody noticed the mistake meanwhile."""
    await desk.add_member(GROUP, CLEO)
    await desk.remove_member(GROUP, CLEO)
    door = await carry_out(desk)
    assert [address for address, _ in door.seated] == [BEN]
    assert door.inside == {BEN}


async def test_who_is_taken_out_while_they_are_seated_does_not_stay(desk: StaffDesk) -> None:
    await desk.add_member(GROUP, CLEO)
    door = await carry_out(desk, desk.remove_member(GROUP, CLEO), first=1)
    assert door.inside == set()


async def test_who_comes_back_while_they_are_taken_out_stays(desk: StaffDesk) -> None:
    await desk.add_member(GROUP, CLEO)
    await desk.remove_member(GROUP, CLEO)
    door = await carry_out(desk, desk.add_member(GROUP, CLEO), first=2)
    assert door.inside == {CLEO}


async def test_nobody_stays_because_a_seat_for_somebody_else_cannot_be_made(desk: StaffDesk) -> None:
    await desk.remove_member(GROUP, BEN)
    [came, goes] = [effect for effect in await desk.effects() if isinstance(effect, SeatMember | UnseatMember)]
    assert came.lane != goes.lane


async def test_a_seat_is_given_under_the_rule_of_its_group(desk: StaffDesk) -> None:
    await desk.change_group(GROUP, device_policy="verified")
    door = await carry_out(desk)
    assert door.seated == [(BEN, DevicePolicy.VERIFIED)]
