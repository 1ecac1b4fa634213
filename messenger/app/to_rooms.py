"""The groups' rooms: making them, seating people, a word outside any conversation."""

from typing import assert_never

from messenger.app import render
from messenger.app.effects.groups import OpenNewRoom, ProvideGroupRoom, SeatMember, TellGroup, UnseatMember
from messenger.app.effects.staff import AnswerInRoom
from messenger.app.hands import Hands, clock_of
from messenger.app.items import GroupMoved
from messenger.app.notices import filled, worded
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.records import NewItem, Place, Said, Trace
from messenger.channels.errors import Temporary
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import SkillGroup
from messenger.i18n import texts


async def answer_in_room(hands: Hands, effect: AnswerInRoom, txn: str) -> Outcome:
    """It may name the customer, and lies outside of the conversation's places: so it is noted where it is."""
    async with hands.units.look() as unit:
        case = await unit.conversations.case(ConversationId(effect.conversation))
        fields = await filled(unit, case, effect.fields)
        reader = await unit.people.agent(AgentId(effect.reader)) if effect.reader else None
    fields["limit"] = render.say_size(texts(case.group.language), hands.max_file_bytes)
    fields["link"] = hands.desk.link(Place(room=hands.room_of(case), thread=case.thread))
    text = worded(texts(reader.language if reader else case.group.language), effect.text, clock_of(case), fields)
    said = Said(plain=text.plain, html=text.html, is_notice=True, reply_to=effect.event)
    place = Place(room=effect.room, thread=effect.thread)
    event = await hands.say(place, said, txn=txn, policy=case.group.device_policy)
    said_there = Trace(
        account=hands.desk.account, room=effect.room, remote_id=event, kind="notice", conversation=case.conversation.id
    )
    return Outcome(traces=[said_there])


async def tell_group(hands: Hands, effect: TellGroup, txn: str) -> None:
    async with hands.units.look() as unit:
        group = await unit.people.group(GroupId(effect.group))
        room = await unit.people.room_of_group(group.id)
        seat = await unit.people.seat(group.id, effect.person) if effect.person else None
    if room is None or (effect.person and seat is None):
        return
    words = texts(seat.agent.language if seat and effect.in_their_language else group.language)
    fields = {"person": seat.agent.name} if seat else {}
    text = render.notice(words, effect.text, clock=None, **{**fields, **effect.fields})
    said = Said(plain=text.plain, html=text.html, mentions=[effect.person] if seat else [])
    await hands.say(Place(room=room), said, txn=txn, policy=group.device_policy)


async def open_new_room(hands: Hands, effect: OpenNewRoom, txn: str) -> Outcome:
    """Its turn has come: everybody is asked in."""
    item = GroupMoved(group=effect.group, former=effect.former)
    return Outcome(items=[NewItem(source="outbox", source_id=txn, lane=effect.lane, item=item)])


async def arrange_group(hands: Hands, effect: ProvideGroupRoom | SeatMember | UnseatMember) -> Outcome:
    """Who was taken out again before their seat was ready gets nothing: with the seat go the keys of all that was
    said. Seats and their ends do not wait for each other, so each looks again when it is done: what the database says
    last is how it is."""
    async with hands.units.look() as unit:
        group = await unit.people.group(GroupId(effect.group))
        room = await unit.people.room_of_group(group.id)
        address = (
            "" if isinstance(effect, ProvideGroupRoom) else (await unit.people.agent(AgentId(effect.agent))).address
        )
    match effect:
        case ProvideGroupRoom():
            return Outcome(group_room=(group.id, room or await hands.desk.provide_room(group)))
        case SeatMember() | UnseatMember() if room:
            await _seat_or_unseat(hands, group, room, address)
        case SeatMember() | UnseatMember():
            raise Temporary("unreachable", raw_code="the group has no room yet")
        case _:
            assert_never(effect)
    return NOTHING


async def _seat_or_unseat(hands: Hands, group: SkillGroup, room: str, address: str) -> None:
    is_member, was_member = await _is_member(hands, group, address), None
    while is_member is not was_member:
        if is_member:
            await hands.desk.seat(room, address, policy=group.device_policy)
        else:
            await hands.desk.unseat(room, address)
        is_member, was_member = await _is_member(hands, group, address), is_member


async def _is_member(hands: Hands, group: SkillGroup, address: str) -> bool:
    async with hands.units.look() as unit:
        return await unit.people.seat(group.id, address) is not None
