"""Who answers in a group no more leaves nothing behind there: neither what they had in work nor their place in its
rooms."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.places import UnseatFromCase
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, State
from messenger.domain.people import Role
from messenger.storage.models.conversations import place
from messenger.storage.models.people import skill_group, staff
from tests.integration.staff_desk import CARD, CHAT, GROUP, ROOM, StaffDesk, customer_says, staff_says

BEN, CLEO, PAT = "@ben:x", "@cleo:x", "@pat:x"
CASE = "!case"

Leaves = Callable[[StaffDesk], Awaitable[None]]


async def is_removed(desk: StaffDesk) -> None:
    await desk.remove_member(GROUP, BEN)


async def becomes_clerk(desk: StaffDesk) -> None:
    await desk.add_member(GROUP, BEN, "clerk")


async def is_disabled(desk: StaffDesk) -> None:
    await desk._change.disable(BEN)


WAYS = [is_removed, becomes_clerk, is_disabled]


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN, CLEO])
    await desk.says(BEN, "!claim")
    return desk


async def after(desk: StaffDesk, leaves: Leaves) -> Conversation:
    """And a few seconds later."""
    await leaves(desk)
    assert await desk.work(1) == 0, "what is being claimed in this moment is waited for"
    await desk.hurry_inbox()
    await desk.work(1)
    return (await desk.only_conversation())[0]


@pytest.mark.parametrize("leaves", WAYS)
async def test_what_somebody_had_in_work_is_in_the_queue_again_and_the_others_hear_of_it(
    desk: StaffDesk, leaves: Leaves
) -> None:
    await desk.says(BEN, "!later 2h I will look into it")
    state = await after(desk, leaves)
    assert (state.state, state.owner, state.scheduled) == (State.QUEUED, None, frozenset())
    told = [each for each in await desk.notices() if each.text == "owner.left"]
    assert [each.place for each in told] == [None]
    await desk.says(CLEO, "!claim")
    assert (await desk.only_conversation())[0].state is State.OPEN


@pytest.mark.parametrize("leaves", WAYS)
async def test_what_rests_is_in_the_queue_again_and_says_that_it_rested(desk: StaffDesk, leaves: Leaves) -> None:
    await desk.says(BEN, "!pause 2d")
    state = await after(desk, leaves)
    assert (state.state, state.owner, state.pause) == (State.QUEUED, None, None)
    assert (await desk.notices())[-1].text == "owner.left.paused"


async def test_what_was_on_its_way_still_leaves(desk: StaffDesk) -> None:
    await desk.says(BEN, "I could say this when I said it")
    await after(desk, is_removed)
    assert [each for each in await desk.effects() if isinstance(each, SendToCustomer)]


async def test_it_is_given_out_again_where_the_router_gives_out(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up([BEN, CLEO], assignment="automatic")
    first = (await desk.only_conversation())[0].owner
    async with desk.engine.begin() as connection:
        address = await connection.scalar(sa.select(staff.c.address).where(staff.c.id == first))
    state = await after(desk, lambda desk: desk.remove_member(GROUP, str(address)))
    assert state.state is State.OPEN and state.owner not in (None, first)


async def test_what_is_over_comes_back_to_the_queue_and_not_to_who_may_only_read(desk: StaffDesk) -> None:
    await desk.says(BEN, "!resolve")
    await after(desk, becomes_clerk)
    await desk.put(customer_says("$again", "One more thing"))
    await desk.work(1)
    state = (await desk.only_conversation())[0]
    assert (state.state, state.owner) == (State.QUEUED, None)


async def test_who_still_answers_there_keeps_what_they_have(desk: StaffDesk) -> None:
    await desk.add_group("Pharmacy")
    await desk.add_member("Pharmacy", BEN)
    state = await after(desk, lambda desk: desk.remove_member("Pharmacy", BEN))
    assert state.state is State.OPEN and not [each for each in await desk.notices() if "owner.left" in each.text]


async def test_it_is_told_why_it_is_back(desk: StaffDesk) -> None:
    await after(desk, is_removed)
    await desk.says(CLEO, "!why")
    assert "why.released.left" in str((await desk.notices())[-1].fields)
    _, log = await desk.only_conversation()
    released = [each for each in log if isinstance(each.event, e.ConversationReleased)]
    assert [each.actor for each in released] == ["desk"]


async def in_own_room(desk: StaffDesk) -> None:
    """Ben's, with Pat from another group."""
    await desk.add_group("Pharmacy")
    await desk.add_member("Pharmacy", PAT)
    await desk.says(BEN, f"!room {PAT}")
    state, _ = await desk.only_conversation()
    rows = [(1, ROOM, CARD, False), (2, CASE, "$case", True)]
    async with desk.engine.begin() as connection:
        await connection.execute(skill_group.update().where(skill_group.c.name == GROUP).values(room_id=ROOM))
        for number, room, card, is_room in rows:
            row = {"conversation_id": state.id, "number": number, "group_id": state.group, "room_id": room}
            await connection.execute(place.insert().values(**row, card=card, is_room=is_room))


async def test_of_a_room_of_its_own_the_group_hears_too_for_there_may_be_nobody_in_it(desk: StaffDesk) -> None:
    await in_own_room(desk)
    state = await after(desk, is_removed)
    assert (state.state, state.is_in_room) == (State.QUEUED, True)
    assert [each.place for each in await desk.notices() if each.text == "owner.left"] == [None, 1]


@pytest.mark.parametrize("seat", [Role.AGENT, Role.CLERK])
async def test_a_guest_who_owns_it_keeps_it_as_long_as_they_answer_anywhere(desk: StaffDesk, seat: Role) -> None:
    await in_own_room(desk)
    await desk.put(replace(staff_says(BEN, f"!assign {PAT}"), room=CASE, thread=None))
    await desk.work(1)
    await desk.add_group("Third")
    await desk.add_member("Third", PAT, seat.value)
    state = await after(desk, lambda desk: desk.remove_member("Pharmacy", PAT))
    assert state.state is (State.OPEN if seat is Role.AGENT else State.QUEUED)


@pytest.mark.parametrize("is_last", [True, False])
async def test_whoever_has_no_seat_any_more_leaves_the_rooms_in_which_they_were_guests(
    desk: StaffDesk, is_last: bool
) -> None:
    await in_own_room(desk)
    if not is_last:
        await desk.add_group("Third")
        await desk.add_member("Third", PAT)
    await desk.remove_member("Pharmacy", PAT)
    left = [each for each in await desk.effects() if isinstance(each, UnseatFromCase)]
    assert len(left) == int(is_last)
    async with desk.units() as unit:
        id = (await desk.only_conversation())[0].id
        assert [each.address for each in await unit.case_members.of(id)] == ([BEN] if is_last else [BEN, PAT])


async def test_a_customer_who_writes_meanwhile_is_not_left_with_them(desk: StaffDesk) -> None:
    """Before the desk has looked, a colleague may take it: its owner counts as away."""
    await becomes_clerk(desk)
    await desk.put(customer_says("$more", "Hello?", chat=CHAT))
    await desk.says(CLEO, "!claim")
    state = (await desk.only_conversation())[0]
    assert state.state is State.OPEN
    await desk.hurry_inbox()
    await desk.work(1)
    assert (await desk.only_conversation())[0].owner == state.owner
