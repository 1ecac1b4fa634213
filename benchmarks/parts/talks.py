"""Many established conversations, on a fake homeserver or on a real one, for benchmarks of a whole installation: a
customer's chat on one side, the thread under its card on the other."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from messenger.demo.synapse import Synapse
from tests.support.crowd import Writer
from tests.support.device import Device
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.people import Person
from tests.support.timeline import Seen, read
from tests.support.waiting import eventually

WORDS = "How long will the repair take, and what will it cost?"
CHATS_EACH = 10  # of a customer on the fake homeserver
AT_ONCE = 10  # calls of one person to a real homeserver
_TOKEN = re.compile(r"\bt\d+-\d{3}\b")


@dataclass(slots=True)
class Talk:
    """One conversation. `said` counts the customer's messages; each carries a token of its own."""

    name: str
    chat: str
    card: str = ""
    said: int = 0

    def next_words(self) -> str:
        self.said += 1
        return f"{self.name}-{self.said - 1:03} {WORDS}"

    @property
    def tokens(self) -> list[str]:
        return [f"{self.name}-{number:03}" for number in range(self.said)]


def token_of(seen: Seen) -> str:
    """Of a relayed message. What quotes several of them (a pack) is none."""
    found = _TOKEN.findall(seen.body)
    return found[0] if len(found) == 1 else ""


class Side(Protocol):
    """The people of a run: an agent, and customers with many chats."""

    agent_id: str

    async def take_seat(self, room: str) -> None: ...
    async def chats(self, first: int, count: int, desk: str) -> Sequence[Talk]: ...
    async def say(self, talk: Talk) -> None: ...
    async def answer(self, card: str, text: str) -> None: ...
    async def claim(self, card: str) -> None: ...
    def lines(self) -> Sequence[Seen]:
        """What is new in the team's room since the last look, opened."""
        ...

    def forget_calls(self) -> None: ...
    def calls(self) -> Mapping[str, int] | None:
        """The desk's calls since then by their kind; None if this homeserver does not tell."""
        ...


class _Reader:
    """Opens what is new in a room. What lacks its key is looked at again."""

    def __init__(self, device: Device) -> None:
        self._device, self._looked_at, self._late = device, 0, list[Mapping[str, Any]]()

    def lines(self, room: str, events: Sequence[Mapping[str, Any]]) -> Sequence[Seen]:
        fresh = [*self._late, *events[self._looked_at :]]
        self._looked_at = len(events)
        seen = read(self._device, room, fresh)
        self._late = [raw for raw, each in zip(fresh, seen, strict=True) if not each.is_readable]
        return [each for each in seen if each.is_readable]


class FakeSide:
    """A customer for every few chats: more strangers at once than the desk has one-time keys would be another
    benchmark."""

    def __init__(self, fake: FakeHomeserver, *, chats_each: int = CHATS_EACH) -> None:
        self._chats_each = chats_each
        self._fake, self._customers = fake, dict[str, Writer]()
        self.agent = Writer(fake.world, "agent", one_time_keys=50)
        self._newest = self.agent
        self.agent_id, self.room, self._reader = self.agent.user_id, "", _Reader(self.agent.device)

    async def take_seat(self, room: str) -> None:
        self.room = room
        await eventually(self.agent.join_invites, 60, what="the agent is invited")

    async def chats(self, first: int, count: int, desk: str) -> Sequence[Talk]:
        made = [self._chat(number, desk) for number in range(first, first + count)]
        rooms = self._fake.world.rooms
        await eventually(
            lambda: all(rooms[talk.chat].membership(desk) == "join" for talk in made), 60, what="the desk joined"
        )
        return made

    def _chat(self, number: int, desk: str) -> Talk:
        if number % self._chats_each == 0:
            self._newest = Writer(self._fake.world, f"customer{number}", one_time_keys=5)
        talk = Talk(f"t{number}", self._newest.start_direct_chat(desk))
        self._customers[talk.chat] = self._newest
        return talk

    async def say(self, talk: Talk) -> None:
        self._customers[talk.chat].say(talk.chat, talk.next_words())

    async def answer(self, card: str, text: str) -> None:
        self.agent.say(self.room, text, thread=card)

    async def claim(self, card: str) -> None:
        self.agent.react(self.room, card, "👀")

    def heard(self, talk: Talk) -> list[str]:
        """The tokens of what the desk has said in the customer's chat."""
        seen = self._customers[talk.chat].read(talk.chat)
        said = [token_of(each) for each in seen if each.sender not in (self._customers[talk.chat].user_id, "")]
        return [token for token in said if token]

    def lines(self) -> Sequence[Seen]:
        self.agent.receive_keys()
        return self._reader.lines(self.room, self._fake.world.rooms[self.room].timeline)

    def forget_calls(self) -> None:
        self._fake.requests.clear()

    def calls(self) -> Mapping[str, int]:
        return Counter(_kind(request.path, request.query) for request in self._fake.requests)


def _kind(path: str, query: Mapping[str, str]) -> str:
    """Sends, to-device messages, /sync with and without a token, other calls that name a room, and the rest."""
    if path.endswith("/sync"):
        return "sync" if "since" in query and query.get("full_state") != "true" else "sync_full"
    if "/rooms/" in path:
        return "sends" if "/send/" in path or "/redact/" in path else "asks_of_rooms"
    return "to_device" if "/sendToDevice/" in path else path.split("/client/")[-1].partition("/")[2] or path


class SynapseSide:
    """One customer's account has all the chats: what counts are rooms."""

    def __init__(self, agent: Person, customer: Person) -> None:
        self._agent, self._customer, self.agent_id = agent, customer, agent.user_id
        self._room, self._reader, self._few = "", _Reader(agent.device), asyncio.Semaphore(AT_ONCE)

    @classmethod
    async def of(cls, synapse: Synapse) -> "SynapseSide":
        accounts = [await synapse.register(name, displayname=name.title()) for name in ("agent", "customer")]
        return cls(*[await Person.log_in(synapse.url, each.user_id, each.password) for each in accounts])

    async def leave(self) -> None:
        await asyncio.gather(self._agent.leave(), self._customer.leave())

    async def take_seat(self, room: str) -> None:
        self._room = room
        await eventually(lambda: room in self._agent.rooms, 60, what="the agent is seated")

    async def chats(self, first: int, count: int, desk: str) -> Sequence[Talk]:
        return await asyncio.gather(*(self._chat(number, desk) for number in range(first, first + count)))

    async def _chat(self, number: int, desk: str) -> Talk:
        async with self._few:
            return Talk(f"t{number}", await self._customer.start_direct_chat(desk))

    async def say(self, talk: Talk) -> None:
        async with self._few:
            await self._customer.say(talk.chat, talk.next_words())

    async def answer(self, card: str, text: str) -> None:
        async with self._few:
            await self._agent.say(self._room, text, thread=card)

    async def claim(self, card: str) -> None:
        async with self._few:
            await self._agent.react(self._room, card, "👀")

    def lines(self) -> Sequence[Seen]:
        return self._reader.lines(self._room, list(self._agent.rooms[self._room].events.values()))

    def forget_calls(self) -> None:
        pass

    def calls(self) -> None:
        return None
