"""One conversation, led through its life by its people, while the program is killed at each step: what the chapters
need."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

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

THERE = "Pharmacy"
HOLD_S = 40  # long enough for a kill inside; it is never waited for
SLOWNESS = timedelta(minutes=30)
SECRET = "only for us"
PATIENCE_S = 90.0
_RELAYED = re.compile(r"[^:\n]*: (c1-\d{4})")  # packs quote too, in more than one line
_PROGRAM = ("-m", "tests.crash.mutants")

Chapter = Callable[["Walk"], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Walk:
    """`room` and `card` are where the conversation is now; without a card it has the room for itself. `rooms` are all
    where it has been. `taken` are the crash points that were died at."""

    house: House
    matter: Matter
    there: str
    card: str
    room: str
    id: UUID
    cleo: Person = field(init=False)  # since somebody_joins
    mutant: str = "none"
    rooms: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    @property
    def ben(self) -> Person:
        return self.matter.agent

    @property
    def is_healthy(self) -> bool:
        return self.mutant == "none"

    # The program

    async def dies(self, *points: str) -> None:
        for point in points:
            await self.house.dies_at(point, program=(*_PROGRAM, self.mutant))
            self.taken.add(point)

    async def runs(self) -> None:
        await self.house.product.start(program=(*_PROGRAM, self.mutant))

    async def stops(self) -> None:
        self.house.product.kill()

    async def comes_through(self, *points: str) -> None:
        """Dies at each of them in turn, then does what there is to do, and is down again."""
        await self.dies(*points)
        await self.settles()

    async def settles(self) -> None:
        await self.runs()
        await self.house.drain()
        await self.stops()

    # The people

    async def say(self, text: str) -> str:
        return await self.ben.say(self.room, text, thread=self.card or None)

    async def note(self) -> None:
        await self.say(f"// {SECRET}")

    async def says_when_read(self, text: str) -> str:
        """The desk has read it, and is dead again. The window stays open for as long as a slow machine may need."""
        await self.runs()
        event = await self.say(text)
        await self.waits_for(lambda: event in self._marked(), "the answer is in its window")
        await self.stops()
        await self.later(-SLOWNESS)
        return event

    def _marked(self) -> set[str]:
        waits = {MARKERS[Fate.QUEUED]} if self.is_healthy else set(MARKERS.values())
        return {each.target for each in self.ben.reactions(self.room) if each.key in waits}

    async def moves(self, room: str, card: str) -> None:
        self.room, self.card = room, card
        self.rooms.append(room)

    async def later(self, by: timedelta) -> None:
        await becomes_older(self.house.engine, by)

    # What there is

    async def waits_for(self, check: Callable[[], object], what: str) -> None:
        await eventually(check, PATIENCE_S, progress=self.house.progress, what=what)

    async def has_noted(self, event: str) -> None:
        async def is_so() -> bool:
            query = sa.select(sa.func.count()).where(event_log.c.type == event)
            return bool(await self._scalar(query))

        await self.waits_for(is_so, f"{event} is in the log")

    async def becomes(self, state: str) -> None:
        async def is_so() -> bool:
            return await self._state() == state

        await self.waits_for(is_so, f"the conversation is {state}")

    async def wakes(self) -> None:
        """Its pause is over. What would wake it is a timer, or a row that the timer has become: one of them is there
        until it is awake."""

        async def has_nothing_to_wait_for() -> bool:
            return not await self.wakes_are_set() and not await self.house.open_rows()

        await self.waits_for(has_nothing_to_wait_for, "the timer is heard and handled")
        assert await self._state() == "open", "nothing wakes it any more"

    async def _state(self) -> object:
        return await self._scalar(sa.select(conversation.c.state).where(conversation.c.id == self.id))

    async def wakes_are_set(self) -> int:
        return int(await self._scalar(sa.select(sa.func.count()).select_from(timer).where(timer.c.kind == "wake")))

    async def _scalar(self, query: sa.Select[tuple[int]] | sa.Select[tuple[str]]) -> object:
        async with self.house.engine.connect() as connection:
            return await connection.scalar(query)

    async def times_said(self, words: str, *, room: str = "", card: str = "") -> int:
        """How often the desk has said this in the thread."""
        room, card = room or self.room, card or self.card
        lines = [each for each in await self.by_desk(self.ben, room) if (each.thread or "") == card]
        return sum(words in each.body and not each.replaces for each in lines)

    async def by_desk(self, person: Person, room: str) -> list[Seen]:
        """All that the desk wrote in a room, also what it took back. Keys may be on their way still."""

        async def readable() -> list[Seen] | None:
            lines = [each for each in await person.read_back(room) if each.sender == self.house.office.desk]
            return lines if all(each.is_readable or each.is_redacted for each in lines) else None

        return await eventually(readable, PATIENCE_S, what=f"{person.name} can read what the desk wrote")

    async def customer_has(self) -> list[str]:
        everything = await self.by_desk(self.matter.customer, self.matter.chat)
        return [each.body for each in everything if each.body and not each.is_redacted]

    async def judge(self, *, others: int = 0) -> None:
        """`others`: conversations beside this one. Each message of the customer is there once and in order, over all
        the places where the conversation has been; no note got out."""
        await self.settles()
        await self.house.assert_books_balance(more=others)
        said = [
            _RELAYED.fullmatch(each.body)
            for room in self.rooms
            for each in await self.by_desk(self.ben, room)
            if not each.replaces
        ]
        shown = [found.group(1) for found in said if found]
        assert shown == self.house.office.ledger.sent["c1"], "the customer's messages: each once, in order"
        assert not any(SECRET in body for body in await self.customer_has()), "a note got out"


async def led_by(house: House, mutant: str = "none", *, dying_at: tuple[str, ...] = ()) -> Walk:
    """The program is down. `dying_at`: where it dies while it arranges the groups' rooms."""
    program = (*_PROGRAM, mutant)
    office = await house.open_office(
        agents=1, customers=0, dying_at=dying_at, program=program, more_groups=(THERE,), hold_seconds=HOLD_S
    )
    there = await house.product.group_room(THERE)
    await eventually(lambda: there in office.agents[0].rooms, PATIENCE_S, what="the agent is seated there too")
    matter = await office.open()
    await house.drain()
    house.product.kill()
    async with house.engine.connect() as connection:
        id = (await connection.execute(sa.select(conversation.c.id))).scalar_one()
    walk = Walk(house=house, matter=matter, there=there, card=matter.card, room=office.room, id=id, mutant=mutant)
    walk.rooms.append(office.room)
    walk.taken.update(dying_at)
    return walk
