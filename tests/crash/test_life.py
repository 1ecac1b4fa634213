"""A conversation's life while the program is killed at each of its new steps: pause, wake, correction, answer taken
back, hand-over, claim, end and new beginning. Every message arrives once and in order, every card and pack is there
once, no note gets out. Time is moved while the program is down."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from messenger.domain.replies import MARKERS, Fate
from messenger.storage.models.conversations import conversation, event_log
from messenger.storage.models.queues import timer
from tests.crash.house import House
from tests.crash.office import Matter
from tests.support.moved_time import becomes_older
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

THERE = "Pharmacy"
HOLD_S = 40  # long enough for a kill inside; it is never waited for
Chapter = Callable[["Walk"], Awaitable[None]]
SLOWNESS = timedelta(minutes=30)
_RELAYED = re.compile(r"[^:\n]*: (c1-\d{4})")  # packs quote too, in more than one line
SECRET = "only for us"
PROGRAM = ("-m", "tests.crash.mutants")


@dataclass(slots=True)
class Walk:
    """One conversation, led through its life by its two people."""

    house: House
    matter: Matter
    there: str
    card: str
    room: str
    mutant: str = "none"

    @property
    def ben(self) -> Person:
        return self.matter.agent

    async def dies(self, *points: str) -> None:
        for point in points:
            await self.house.dies_at(point, program=(*PROGRAM, self.mutant))

    async def runs(self) -> None:
        await self.house.product.start(program=(*PROGRAM, self.mutant))

    async def stops(self) -> None:
        self.house.product.kill()

    async def say(self, text: str) -> str:
        return await self.ben.say(self.room, text, thread=self.card)

    async def note(self) -> None:
        await self.say(f"// {SECRET}")

    async def says_when_read(self, text: str) -> str:
        """The desk has read it, and is dead again. The window stays open for as long as a slow machine may need."""
        await self.runs()
        event = await self.say(text)
        await eventually(lambda: event in self._marked(MARKERS[Fate.QUEUED]), 60, what="the answer is in its window")
        await self.stops()
        await self.later(-SLOWNESS)
        return event

    def _marked(self, key: str) -> set[str]:
        return {each.target for each in self.ben.reactions(self.room) if each.key == key}

    async def later(self, by: timedelta) -> None:
        await becomes_older(self.house.engine, by)

    async def has_noted(self, event: str) -> None:
        async def is_so() -> bool:
            async with self.house.engine.connect() as connection:
                query = sa.select(sa.func.count()).where(event_log.c.type == event)
                return bool(await connection.scalar(query))

        await eventually(is_so, 60, what=f"{event} is in the log")

    async def state(self) -> str:
        async with self.house.engine.connect() as connection:
            return str(await connection.scalar(sa.select(conversation.c.state)))

    async def becomes(self, state: str) -> None:
        async def is_so() -> bool:
            return await self.state() == state

        await eventually(is_so, 60, what=f"the conversation is {state}")

    async def wakes_are_set(self) -> int:
        async with self.house.engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(timer).where(timer.c.kind == "wake")
            return int(await connection.scalar(query) or 0)

    async def says_once(self, words: str, *, room: str = "", card: str = "") -> bool:
        """Has the desk said this in the thread, and only once?"""
        room, card = room or self.room, card or self.card

        def is_it(each: Seen) -> bool:
            return each.thread == card and each.sender == self.house.office.desk and words in each.body

        await self.ben.wait_for(room, is_it, timeout_s=60)
        return sum(is_it(each) for each in await self.ben.read_back(room)) == 1

    async def customer_has(self) -> list[str]:
        everything = await self.matter.customer.read_back(self.matter.chat)
        return [each.body for each in everything if each.sender == self.house.office.desk and not each.is_redacted]


async def led_by(house: House, mutant: str = "none") -> Walk:
    office = await house.open_office(agents=1, customers=0, hold_seconds=HOLD_S)
    ben = office.agents[0]
    await house.product.add_group(THERE, [(ben.user_id, "Agent 0", "agent")], hold_seconds=HOLD_S)
    there = await house.product.group_room(THERE)
    await eventually(lambda: there in ben.rooms, 60, what="the agent is seated there too")
    matter = await office.open()
    await house.drain()
    house.product.kill()
    return Walk(house, matter, there, matter.card, office.room, mutant)


async def pause_and_wake(walk: Walk) -> None:
    await walk.note()
    await walk.say("!pause 2h the hospital calls")
    await walk.dies("ConversationPaused")
    await walk.runs()
    await walk.becomes("paused")
    await walk.house.drain()
    await walk.stops()
    await walk.later(timedelta(hours=2))
    await walk.dies("timer_heard", "timer_removed" if walk.mutant == "none" else "process_committed")
    await walk.dies(*(["ConversationResumed", "pack_posted"] if walk.mutant == "none" else []))
    await walk.runs()
    await walk.becomes("open")
    await walk.house.drain()
    assert await walk.wakes_are_set() == 0
    assert await walk.says_once("is back")
    await walk.stops()


async def taken_back(walk: Walk) -> None:
    wrong = await walk.says_when_read("this was for somebody else")
    await walk.ben.redact(walk.room, wrong)
    if walk.mutant == "none":
        await walk.dies("answer_cancelled")
        await walk.runs()
        await walk.has_noted("ReplyCancelled")
        await walk.stops()
    await walk.later(SLOWNESS + timedelta(seconds=HOLD_S))
    await walk.runs()
    await walk.house.drain()
    assert not any("somebody else" in body for body in await walk.customer_has()), "taken back, and sent"
    await walk.stops()


async def corrected(walk: Walk) -> None:
    """In the window what leaves is the correction; later the correction follows."""
    first = await walk.says_when_read("tomorow")
    await walk.ben.edit(walk.room, first, "tomorrow")
    await walk.dies("ReplyEdited")
    await walk.runs()
    await walk.has_noted("ReplyEdited")
    await walk.stops()
    await walk.later(SLOWNESS + timedelta(seconds=HOLD_S))
    await walk.runs()
    await walk.house.drain()
    assert [body for body in await walk.customer_has() if "tomor" in body] == ["Agent: tomorrow"]
    await walk.stops()
    await walk.ben.edit(walk.room, first, "tomorrow at nine")
    await walk.dies("edited_at_customer")
    await walk.runs()
    await walk.house.drain()
    assert [body for body in await walk.customer_has() if "nine" in body] == ["Agent: tomorrow at nine"], "once"
    await walk.ben.redact(walk.room, first)
    await walk.stops()
    await walk.dies("deleted_at_customer")
    await walk.runs()
    await walk.house.drain()
    assert not any("tomor" in body for body in await walk.customer_has())
    await walk.stops()


async def handed_over(walk: Walk) -> None:
    await walk.note()
    await walk.say(f"!transfer {THERE} about the dose")
    await walk.dies("ConversationTransferred", "card_placed", "pack_posted")
    await walk.runs()
    await walk.house.drain()
    everything = await walk.ben.read_back(walk.there)
    cards = [each for each in everything if each.thread is None and not each.replaces and "c1-0000" in each.body]
    assert len(cards) == 1, "one card there"
    walk.room, walk.card = walk.there, cards[0].event_id
    assert await walk.says_once("comes from")
    assert await walk.says_once("goes on here", room=walk.house.office.room, card=walk.matter.card)
    await walk.stops()
    await walk.ben.react(walk.room, walk.card, "👀")
    await walk.dies("ConversationClaimed")
    await walk.matter.asks.write()
    await walk.note()
    await walk.runs()
    await walk.becomes("open")
    await walk.stops()


async def ended_and_begun_again(walk: Walk) -> None:
    await walk.say("!resolve solved")
    await walk.dies("ConversationResolved")
    await walk.runs()
    await walk.becomes("resolved")
    await walk.stops()
    await walk.matter.asks.write()
    await walk.dies("ConversationReopened")
    await walk.runs()
    await walk.becomes("open")
    await walk.house.drain()
    assert await walk.says_once("is open again")


async def judge(walk: Walk) -> None:
    if not walk.house.product.is_running:
        await walk.runs()
    await walk.house.drain()
    await walk.house.assert_books_balance()
    ben, ledger = walk.ben, walk.house.office.ledger
    said = [
        _RELAYED.fullmatch(each.body)
        for room in (walk.house.office.room, walk.there)
        for each in await ben.read_back(room)
        if each.thread and each.sender == walk.house.office.desk and not each.replaces
    ]
    shown = [found.group(1) for found in said if found]
    assert shown == ledger.sent["c1"], "the customer's messages: each once, in order"
    has = await walk.customer_has()
    assert not any(SECRET in body for body in has), "a note got out"


CHAPTERS = {
    "pause": (pause_and_wake,),
    "second thoughts": (taken_back, corrected),
    "other hands": (handed_over, ended_and_begun_again),
}


@pytest.mark.parametrize("part", CHAPTERS)
async def test_a_life_comes_through_kills_at_every_step(small_house: House, part: str) -> None:
    walk = await led_by(small_house)
    for chapter in CHAPTERS[part]:
        await chapter(walk)
    await judge(walk)
