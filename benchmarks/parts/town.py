"""The people of a run on a real Synapse: customers who write, an agent who reads, plain senders for comparison. They
are set up with ordinary clients; while something is measured, only tokens and ready-made ciphertexts of them are
used."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from messenger.demo.synapse import Registered, Synapse
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

PLAIN = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "A" * 350, "session_id": "S" * 43, "sender_key": "K" * 43,
         "device_id": "BENCHMARKS"}  # fmt: skip  # about 500 bytes, the size of an ordinary message
FILLER = "How long will the repair take, and what will it cost? "


@dataclass(slots=True)
class Chat:
    """A customer's room with one of the relays. `said` are the tokens in the order in which they were sent."""

    name: str
    customer: Person
    room: str
    said: list[str] = field(default_factory=list)
    _number: int = 0

    async def prepare(self, count: int, bot: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Encrypts so many messages; the room's keys are handed out already."""
        made = []
        for _ in range(count):
            if self.customer.device.outbound(self.room).session.message_index == 0 or not made:
                await self.customer.keys.share(self.room, frozenset({bot, self.customer.user_id}))
            token = f"{self.name}-{self._number:05}"
            self._number += 1
            content = {"msgtype": "m.text", "body": f"{token} {FILLER}"}
            made.append((token, self.customer.device.encrypt(self.room, "m.room.message", content)))
        return made

    @property
    def token(self) -> str:
        return self.customer.server.token


class Town:
    def __init__(self, synapse: Synapse) -> None:
        self.synapse = synapse
        self.everybody: list[Person] = []

    async def person(self, name: str) -> Person:
        account = await self.synapse.register(name, displayname=name)
        person = await Person.log_in(self.synapse.url, account.user_id, account.password, name=name)
        self.everybody.append(person)
        return person

    async def account(self, name: str) -> Registered:
        return await self.synapse.register(name)

    async def plain_lane(self, person: Person) -> Mapping[str, Any]:
        """A room of one's own, for the comparison."""
        room = await person.create_room()
        return {"token": person.server.token, "room": room, "contents": [PLAIN]}

    async def chat(self, name: str, customer: Person, bot: str) -> Chat:
        return Chat(name, customer, await customer.start_direct_chat(bot))

    async def leave(self) -> None:
        for person in self.everybody:
            await person.close_eyes()
            await person.leave()


def token_of(seen: Seen) -> str:
    return next((word for word in seen.body.split() if word[0] in "pb" and word[1:2].isdigit() and "-" in word), "")


async def arrived(agent: Person, room: str, bot: str) -> list[tuple[str, int]]:
    """Everything that the bot relayed into the room, opened, with the homeserver's time of it in milliseconds. Cards
    and their edits, which quote the first words, are no relays."""

    async def read() -> list[Seen] | None:
        seen = [each for each in await agent.read_back(room) if each.sender == bot and not each.replaces]
        return seen if all(each.is_readable for each in seen) else None

    events = await eventually(read, 30, what="the agent can read everything")
    return [(token_of(each), each.at_ms) for each in events if token_of(each) and not each.body.startswith("New ")]


async def seconds_until_readable(agent: Person, room: str, token: str, begun: float, patience_s: float = 20) -> float:
    """Looks every two milliseconds, opens only what is new."""
    looked_at = 0
    view = agent.rooms[room]
    while time.monotonic() - begun < patience_s:
        if len(view.events) > looked_at:
            fresh = agent.events(room)[-3:]
            if any(token_of(each) == token and not each.replaces for each in fresh):
                return time.monotonic() - begun
        await asyncio.sleep(0.002)
    raise SystemExit(f"{token} did not arrive")


def verdict(chats: Sequence[Chat], found: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Lost, doubled and disordered messages."""
    tokens = [token for token, _ in found]
    said = [token for chat in chats for token in chat.said]
    disordered = 0
    for chat in chats:
        order = list(dict.fromkeys(token for token in tokens if token.startswith(chat.name + "-")))
        disordered += order != [token for token in chat.said if token in set(order)]
    return {
        "lost": len(set(said) - set(tokens)),
        "doubled": len(tokens) - len(set(tokens)),
        "disordered": disordered,
    }
