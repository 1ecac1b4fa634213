"""Orders about a conversation's own room: `!room` makes it, `!invite` and `!remove` change who may read it."""

from messenger.app.order import Order
from messenger.app.persons import find_colleague, find_colleagues
from messenger.app.places import place_now
from messenger.app.staff_messages import Refusal
from messenger.domain import commands as c
from messenger.domain.people import Agent


async def room(order: Order) -> None:
    """`!room [@people]`: with the owner, whoever asks, and the people named, of whatever group. Where somebody has
    closed its room: another one, also for those who were in it."""
    named = await find_colleagues(order.turn, order.item, order.asked.text)
    for person in named:
        await _must_have_a_seat(order, person)
    members, by, role = tuple(person.id for person in named), order.seat.agent.id, order.seat.role
    if await _is_closed(order):
        there = tuple(member.id for member in await order.turn.unit.case_members.of(order.conversation.id))
        return await order.do(c.RenewRoom(members=tuple(dict.fromkeys((*there, *members))), by=by, role=role))
    await order.do(c.MoveToRoom(agent=by, role=role, members=members))


async def invite(order: Order) -> None:
    person = await find_colleague(order.turn, order.item, order.asked.text)
    await _must_have_a_seat(order, person)
    is_member = await _is_member(order, person)
    await order.do(c.InviteMember(agent=person.id, by=order.seat.agent.id, role=order.seat.role, is_member=is_member))


async def remove(order: Order) -> None:
    person = await find_colleague(order.turn, order.item, order.asked.text)
    is_member = await _is_member(order, person)
    await order.do(c.RemoveMember(agent=person.id, by=order.seat.agent.id, role=order.seat.role, is_member=is_member))


async def _is_closed(order: Order) -> bool:
    """Is it in a room of its own that says that another takes its place?"""
    unit, conversation = order.turn.unit, order.conversation
    here = await place_now(unit, conversation) if conversation.is_in_room else None
    return here is not None and await unit.successions.get(order.item.account, here.room) is not None


async def _must_have_a_seat(order: Order, person: Agent) -> None:
    """Whoever has left every group reads nothing more."""
    if not await order.turn.unit.people.seats_of(person.address):
        raise Refusal("S10c.no_seat", person=person.name)


async def _is_member(order: Order, person: Agent) -> bool:
    return await order.turn.unit.case_members.seat(order.conversation.id, person.address) is not None
