"""A conversation's own room: making it, and who is in it."""

from messenger.app.effects.places import ProvideCaseRoom, SeatCase, SeatInCase, UnseatFromCase
from messenger.app.hands import Hands
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.ports import UnitOfWork
from messenger.app.records import PlaceRow
from messenger.channels.errors import Temporary
from messenger.domain.ids import AgentId, ConversationId


async def provide_case_room(hands: Hands, effect: ProvideCaseRoom) -> Outcome:
    """The room is known before anybody is in it: from then on, what is written there is the conversation's."""
    case = await hands.case(effect.conversation)
    room = await hands.desk.provide_case_room(case.conversation.id, case.conversation.number, effect.place)
    row = PlaceRow(number=effect.place, group=case.group.id, room=room, card="", is_room=True)
    return Outcome(card=(case.conversation.id, row))


async def seat_case(hands: Hands, effect: SeatCase) -> Outcome:
    id = ConversationId(effect.conversation)
    async with hands.units.look() as unit:
        rooms = await _rooms(unit, id)
        policy = (await unit.conversations.case(id)).group.device_policy
        members = await unit.case_members.of(id)
    for member in members:
        await hands.desk.seat(_newest(rooms), member.address, policy=policy)
    return NOTHING


async def seat_in_case(hands: Hands, effect: SeatInCase) -> Outcome:
    """Unless they were taken out again, or it has left its room, in the meantime."""
    id = ConversationId(effect.conversation)
    async with hands.units.look() as unit:
        rooms = await _rooms(unit, id)
        case = await unit.conversations.case(id)
        members = {member.id: member for member in await unit.case_members.of(id)}
    member = members.get(AgentId(effect.agent))
    if member is not None and case.conversation.is_in_room:
        await hands.desk.seat(_newest(rooms), member.address, policy=case.group.device_policy)
    return NOTHING


async def unseat_from_case(hands: Hands, effect: UnseatFromCase) -> Outcome:
    """Unless they were invited again in the meantime."""
    id, agent = ConversationId(effect.conversation), AgentId(effect.agent)
    async with hands.units.look() as unit:
        rooms = await _rooms(unit, id)
        person = await unit.people.agent(agent)
        is_member = any(member.id == agent for member in await unit.case_members.of(id))
    for room in rooms if not is_member else ():
        await hands.desk.unseat(room, person.address)
    return NOTHING


async def _rooms(unit: UnitOfWork, id: ConversationId) -> list[str]:
    return [row.room for row in await unit.conversations.places(id) if row.is_room]


def _newest(rooms: list[str]) -> str:
    if not rooms:
        raise Temporary("unreachable", raw_code="the room is on its way")
    return rooms[-1]
