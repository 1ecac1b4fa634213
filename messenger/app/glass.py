"""`!glass REF REASON`: somebody must read what is not theirs, now, and says why. For an hour they read, in their direct
chat with the desk, and do nothing else; the leads of the conversation's group are told at once, and the audit log keeps
the reason, sealed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from messenger.app import access
from messenger.app.effects.base import Effect
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import SayAnswer, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.items import StaffSaid
from messenger.app.order import Order, where_asked
from messenger.app.records import Seat
from messenger.app.staff_messages import Refusal, group_of
from messenger.app.turn import Turn
from messenger.domain.access import Action
from messenger.domain.conversation import Conversation
from messenger.domain.people import Agent, SkillGroup
from messenger.domain.staff_commands import Asked

LASTS = timedelta(hours=1)
MOST_REASON = 500


async def needless(order: Order) -> None:
    """At the conversation's own place everybody may read it anyway."""
    raise Refusal("glass.needless", ref=order.conversation.number)


async def break_glass(turn: Turn, item: StaffSaid, seats: Sequence[tuple[SkillGroup, Seat]], asked: Asked) -> None:
    """Raises DomainError when it is refused."""
    if await turn.unit.people.person_of_direct_room(item.room) is None:
        raise Refusal("glass.direct")
    conversation = await _named(turn, asked.ref)
    person = seats[0][1].agent

    async def do() -> None:
        seat = await access.seat_at(turn.unit, conversation, person.address)
        if seat and (await access.decide(turn.unit, conversation, seat, Action.READ)).is_allowed:
            raise Refusal("glass.needless", ref=conversation.number)
        until = turn.unit.now + LASTS
        await turn.unit.glass.open(conversation.id, person.id, until=until)
        fields = {"ref": conversation.number, "until": until.isoformat()}
        turn.effects.append(SayAnswer(text="glass.open", fields=fields, **where_asked(item, seats)))
        turn.effects.extend(await _told(turn, conversation, person, until, asked.text[:MOST_REASON]))

    await access.broken(turn.unit, seats, conversation.id, words=asked.text[:MOST_REASON], do=do)


async def _named(turn: Turn, number: str) -> Conversation:
    id = await turn.unit.conversations.of_number(number)
    conversation = await turn.unit.conversations.lock(id) if id else None
    if conversation is None or conversation.group is None:
        raise Refusal("S10c.no_such", ref=number)
    return conversation


async def _told(turn: Turn, conversation: Conversation, who: Agent, until: datetime, why: str) -> Sequence[Effect]:
    """Each lead in their direct chat, with the reason; who has none is rung in the group's room, without it. Where
    there is no lead, those who work on the conversation read it."""
    told: list[Effect] = []
    moment, group = until.isoformat(), group_of(conversation)
    for lead in await turn.unit.people.leads(group):
        if lead.id == who.id:
            continue
        if await turn.unit.people.direct_room_of(lead.id) is not None:
            fields = {"person": who.name, "ref": conversation.number, "until": moment, "why": why}
            told.append(TellPerson(agent=lead.id, text="glass.told", fields=fields))
        else:
            fields = {"who": who.name, "ref": conversation.number}
            told.append(
                TellGroup(
                    group=group, text="glass.told_short", person=lead.address, fields=fields, in_their_language=True
                )
            )
    if told:
        return told
    fields = {"person": str(who.id), "until": moment}
    return [PostNotice(conversation=conversation.id, text="glass.thread", fields=fields)]
