"""What the desk says to one of the staff about no conversation: the answer to a command beside it, and a line in the
direct chat."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from messenger.app import render, render_lists
from messenger.app.effects.staff import Answer, SayAnswer, ShowMine, ShowQueue, TellPerson
from messenger.app.hands import Hands
from messenger.app.message_parts import fitted, part_txn
from messenger.app.notices import worded
from messenger.app.ports import UnitOfWork
from messenger.app.records import Listed, Place, Said, Seat
from messenger.domain.ids import AgentId
from messenger.domain.people import Agent, DevicePolicy, SkillGroup
from messenger.i18n import Texts, texts

MOST_WAITING = 10
_STRICT = (DevicePolicy.ANY, DevicePolicy.CROSS_SIGNED_TOFU, DevicePolicy.VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads it, with what they may know: their groups, and under which rule their devices get keys."""

    agent: Agent
    seats: Sequence[tuple[SkillGroup, Seat]]

    @property
    def words(self) -> Texts:
        return texts(self.agent.language)

    @property
    def clock(self) -> render.Clock:
        """People have no time zone of their own; it is that of their first group."""
        return render.Clock(tz=ZoneInfo(self.seats[0][0].time_zone)) if self.seats else render.Clock()

    @property
    def policy(self) -> DevicePolicy:
        """The strictest of their groups': what is said may be about any of them."""
        return max((group.device_policy for group, _ in self.seats), key=_STRICT.index, default=DevicePolicy.VERIFIED)


async def reader_of(unit: UnitOfWork, id: AgentId) -> Reader:
    agent = await unit.people.agent(id)
    return Reader(agent=agent, seats=await unit.people.seats_of(agent.address))


async def say_answer(hands: Hands, effect: SayAnswer, txn: str) -> None:
    async with hands.units.look() as unit:
        reader = await reader_of(unit, AgentId(effect.reader))
    await post_answer(hands, effect, reader, worded(reader.words, effect.text, reader.clock, effect.fields), txn)


async def post_answer(hands: Hands, effect: Answer, reader: Reader, text: render.Rendered, txn: str) -> None:
    said = fitted(Said(plain=text.plain, html=text.html, is_notice=True, reply_to=effect.event))
    place = Place(room=effect.room, thread=effect.thread)
    await hands.say(place, said, txn=txn, policy=reader.policy)


async def show_queue(hands: Hands, effect: ShowQueue, txn: str) -> None:
    async with hands.units.look() as unit:
        reader = await reader_of(unit, AgentId(effect.reader))
        groups = [group.id for group, seat in reader.seats if seat.role.can_answer]
        rows, total = await unit.lists.waiting(groups, MOST_WAITING)
    text = render_lists.queue(reader.words, [(row, link_of(hands, row)) for row in rows], total, reader.clock)
    await post_answer(hands, effect, reader, text, txn)


async def show_mine(hands: Hands, effect: ShowMine, txn: str) -> None:
    """All of it, in as many messages as it takes."""
    async with hands.units.look() as unit:
        reader = await reader_of(unit, AgentId(effect.reader))
        rows = [(row, link_of(hands, row)) for row in await unit.lists.of_owner(reader.agent.id)]
    for n, text in enumerate(render_lists.mine(reader.words, rows, reader.clock)):
        await post_answer(hands, effect, reader, text, part_txn(txn, n))


def link_of(hands: Hands, row: Listed) -> str:
    return hands.desk.link(row.place) if row.place else ""


async def tell_person(hands: Hands, effect: TellPerson, txn: str) -> None:
    async with hands.units.look() as unit:
        reader = await reader_of(unit, AgentId(effect.agent))
        room = await unit.people.direct_room_of(reader.agent.id)
    if room is None:
        return
    text = worded(reader.words, effect.text, reader.clock, effect.fields)
    said = Said(plain=text.plain, html=text.html, mentions=[reader.agent.address])
    await hands.say(Place(room=room), said, txn=txn, policy=reader.policy)
