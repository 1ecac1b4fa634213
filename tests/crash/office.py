"""Customers and agents who do not stop writing while the ground shakes: every message numbered, some of them files,
encrypted on both sides. What the homeserver acknowledged stands in the ledger; `arrived` reads everything back with
their own devices."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from messenger.matrix.http import CLIENT
from tests.crash.reading import Line, arrivals, by_thread, lines_of
from tests.support.device import from_base64
from tests.support.keys import persistently
from tests.support.ledger import Arrived, Ledger, digest
from tests.support.people import People, Person
from tests.support.waiting import eventually

GROUP = "General"
AHEAD = 4  # so many messages a sender writes without having seen the last ones arrive
FILE_EVERY = 6
LOOK_AGAIN_S = 0.05
PATIENCE_S = 180.0


@dataclass(slots=True)
class Tally:
    """Counts what the desk sent into one room, by thread, as it comes, without opening it."""

    person: Person
    room: str
    desk: str
    roots: list[str] = field(default_factory=list)  # what is in no thread and no edit: cards
    _counts: Counter[str | None] = field(default_factory=Counter)
    _looked_at: int = 0

    def of(self, thread: str | None) -> int:
        self.look()
        return self._counts[thread]

    def look(self) -> None:
        events = self.person.rooms[self.room].since(self._looked_at)
        self._looked_at += len(events)
        for event in events:
            if event["sender"] == self.desk and event["type"] == "m.room.encrypted":
                self._take(event["event_id"], event["content"].get("m.relates_to") or {})

    def _take(self, event_id: str, relation: Mapping[str, Any]) -> None:
        self._counts[relation.get("event_id") if relation.get("rel_type") == "m.thread" else None] += 1
        if not relation:
            self.roots.append(event_id)


@dataclass(slots=True)
class Arrivals:
    """What has arrived of one lane."""

    tally: Tally
    thread: str | None = None

    def now(self) -> int:
        return self.tally.of(self.thread)


@dataclass(slots=True, kw_only=True)
class Lane:
    """One direction of one matter: who writes, where to, and where it must arrive. `turn`: a client sends into one room
    one message after the other, whatever the thread. (More than ten at once branch a room for good: Synapse names ten
    earlier events in each new one, and works the longer on each the more branches there are.)"""

    name: str
    sender: Person
    room: str
    ledger: Ledger
    arrivals: Arrivals
    turn: asyncio.Lock
    thread: str | None = None

    async def write(self, *, file: bool = False) -> str:
        async with self.turn:
            token = self.ledger.next_token(self.name)
            if not file:
                self.ledger.acknowledged(token, await self.sender.say(self.room, token, thread=self.thread))
                return token
            data = _text_file(token)
            event = await self.sender.send_file(
                self.room, data, name=f"{token}.txt", mimetype="text/plain", thread=self.thread
            )
            self.ledger.acknowledged(token, event, digest=digest(data))
            return token

    @property
    def ahead(self) -> int:
        return len(self.ledger.sent.get(self.name, ())) - self.arrivals.now()


@dataclass(slots=True, kw_only=True)
class Matter:
    """One customer's conversation: the chat on one side, the thread under its card on the other."""

    customer: Person
    chat: str
    card: str
    agent: Person
    asks: Lane
    answers: Lane


class Office:
    """The people of one installation. `open` brings a customer in, `talk` lets everybody write, `hush` ends it."""

    def __init__(self, people: People, desk: str, room: str, agents: Sequence[Person]) -> None:
        self.people, self.desk, self.room, self.agents = people, desk, room, agents
        self.ledger, self.matters, self.claims = Ledger(), list[Matter](), list[str]()
        self._talking: list[asyncio.Task[None]] = []
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._tallies = {agent.user_id: Tally(agent, room, desk) for agent in agents}
        self._numbers = 0
        self._is_open = False

    # People come

    async def open(self, *, early: int = 0, claimed: bool = True) -> Matter:
        """A new customer's chat and first message; an agent claims it. `early`: so many messages before the desk is
        there."""
        self._numbers += 1
        number = self._numbers
        customer = await self.people.person(f"customer{number}", displayname=f"Customer {number}")
        chat = await customer.start_direct_chat(self.desk, wait_until_joined=False)
        agent = self.agents[number % len(self.agents)]
        asks = self._lane(f"c{number}", customer, chat, None, Arrivals(self._tallies[agent.user_id]))
        await eventually(lambda: self.desk in customer.rooms[chat].members, what="the invitation is out")
        await self.burst(asks, early)
        await customer.wait_for_members(chat, [self.desk], timeout_s=PATIENCE_S)
        if not early:
            await asks.write()
        card = await self._card_with(agent, f"c{number}-0000")
        asks.arrivals.thread = card
        if claimed:
            self.claims.append(await agent.react(self.room, card, "👀"))
        answers = self._lane(f"a{number}", agent, self.room, card, Arrivals(Tally(customer, chat, self.desk)))
        matter = Matter(customer=customer, chat=chat, card=card, agent=agent, asks=asks, answers=answers)
        self.matters.append(matter)
        if self._is_open:
            self._let_talk(matter)
        return matter

    def let_in(self) -> None:
        """As `open`, beside everything else."""
        self._talking.append(asyncio.create_task(self._open_beside(), name="newcomer"))

    async def _open_beside(self) -> None:
        await self.open()

    def _lane(self, name: str, sender: Person, room: str, thread: str | None, arrivals: Arrivals) -> Lane:
        turn = self._turns.setdefault((sender.user_id, room), asyncio.Lock())
        return Lane(
            name=name, sender=sender, room=room, ledger=self.ledger, arrivals=arrivals, turn=turn, thread=thread
        )

    async def _card_with(self, agent: Person, token: str) -> str:
        tally, view = self._tallies[agent.user_id], agent.rooms[self.room]

        def card() -> str | None:
            tally.look()
            return next((root for root in tally.roots if token in view.seen(agent.device, root).body), None)

        return await eventually(card, PATIENCE_S, what=f"a card for {token}")

    # They write

    def talk(self) -> None:
        self._is_open = True
        for matter in self.matters:
            self._let_talk(matter)

    async def hush(self) -> None:
        """Everybody finishes the sentence."""
        self._is_open = False
        await asyncio.gather(*self._talking)
        self._talking.clear()

    async def abandon(self) -> None:
        for task in self._talking:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, AssertionError):
                await task

    def _let_talk(self, matter: Matter) -> None:
        for lane in (matter.asks, matter.answers):
            self._talking.append(asyncio.create_task(self._talk(lane), name=lane.name))

    async def _talk(self, lane: Lane) -> None:
        dice = random.Random(lane.name)
        while self._is_open:
            if lane.ahead < AHEAD:
                await lane.write(file=dice.randrange(FILE_EVERY) == 0)
            else:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def burst(self, lane: Lane, count: int) -> None:
        """Without waiting for anybody."""
        for _ in range(count):
            await lane.write()

    async def take_one_time_keys(self, count: int) -> None:
        """Somebody uses up the desk's one-time keys."""
        person = self.matters[0].customer
        query: dict[str, dict[str, list[str]]] = {"device_keys": {self.desk: []}}
        answer = await persistently(lambda: person.server.call("POST", f"{CLIENT}/keys/query", query))
        asked = {self.desk: dict.fromkeys(answer["device_keys"][self.desk], "signed_curve25519")}
        for _ in range(count):
            await persistently(
                lambda: person.server.call("POST", f"{CLIENT}/keys/claim", {"one_time_keys": asked}), patience_s=60
            )

    async def take_another_device(self, person: Person) -> None:
        """Logged in once, and put aside."""
        device = await self.people.another_device(person)
        await device.leave()

    # Reading back

    async def arrived(self) -> dict[str, list[Arrived]]:
        """Of every lane's target what is there, by the persons' own devices; every agent reads every thread."""
        first, *others = [await self._in_threads(agent) for agent in self.agents]
        assert all(other == first for other in others), "the agents see different things"
        lanes = {lane: (self.agents[0], lines) for lane, lines in first.items()}
        for matter in self.matters:
            lines = await lines_of(self.people, matter.customer, matter.chat, self.desk)
            lanes[matter.answers.name] = (matter.customer, lines)
        return await arrivals(lanes)

    async def _in_threads(self, agent: Person) -> dict[str, list[Line]]:
        lines = await lines_of(self.people, agent, self.room, self.desk)
        return by_thread(lines, {matter.asks.name: matter.card for matter in self.matters})

    def reused(self) -> list[str]:
        """Indices of the desk's room keys that were used for two texts."""
        sealed = {
            event["event_id"]: event["content"]
            for person in (*self.agents, *(matter.customer for matter in self.matters))
            for view in person.rooms.values()
            for event in view.events.values()
            if event["sender"] == self.desk and "ciphertext" in event["content"]
        }
        used = Counter((content["session_id"], _index_of(content["ciphertext"])) for content in sealed.values())
        return sorted(f"{session} {index}" for (session, index), times in used.items() if times > 1)

    def unreadable(self) -> int:
        """Events of the desk whose key has not come to somebody who should have it."""
        return sum(
            not event.is_readable
            for person, room in self._views()
            for event in person.events(room)
            if event.sender == self.desk
        )

    def in_the_clear(self) -> list[str]:
        """Messages that anybody sent without encryption."""
        events = (event for person, room in self._views() for event in person.rooms[room].events.values())
        return sorted({event["event_id"] for event in events if event["type"] == "m.room.message"})

    def _views(self) -> list[tuple[Person, str]]:
        views = [(agent, self.room) for agent in self.agents]
        return views + [(matter.customer, matter.chat) for matter in self.matters]


def _text_file(token: str) -> bytes:
    dice = random.Random(token)
    lines = "".join(f"{token} {dice.randbytes(24).hex()}\n" for _ in range(20))
    return lines.encode()


def _index_of(ciphertext: str) -> int:
    """The message index of a Megolm message: version byte, tag 0x08, varint (Matrix spec, "Message format")."""
    raw = from_base64(ciphertext)
    index, shift = 0, 0
    for byte in raw[2:]:
        index |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return index
    raise ValueError("not a Megolm message")
