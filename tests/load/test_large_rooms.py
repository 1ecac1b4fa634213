"""A group's room with a thousand members, each with a device; one of them suddenly has fifty. On a real homeserver.

python -m pytest -m load tests/load/test_large_rooms.py -s"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.records import Place, Said
from messenger.demo.synapse import Synapse
from messenger.domain.people import DevicePolicy
from messenger.matrix.http import CLIENT, HomeserverClient, path
from messenger.storage.administration import Administration
from tests.support.device import Device, new_device_id
from tests.support.hands import NAMESPACE, DeskHands
from tests.support.keys import persistently
from tests.support.people import People

pytestmark = pytest.mark.load

MEMBERS, STORM, READERS, AT_ONCE = int(os.environ.get("MEMBERS", "1000")), 50, 25, 8
ASKED = ("keys/query", "keys/claim", "sendToDevice")
T = TypeVar("T")


@dataclass(slots=True)
class Phone:
    """A device without a sync loop: what came for it is asked for when it reads."""

    client: HomeserverClient
    device: Device
    since: str = ""

    async def reads(self, room: str, event: str) -> str:
        await self._take_keys()
        return self.opens(room, await _sealed(self.client, room, event))

    async def cannot_open(self, room: str, sealed: Mapping[str, Any]) -> bool:
        await self._take_keys()
        return not self.opens(room, sealed)

    def opens(self, room: str, sealed: Mapping[str, Any]) -> str:
        return str((self.device.decrypt(room, sealed) or {}).get("content", {}).get("body", ""))

    async def _take_keys(self) -> None:
        query = {"timeout": "0"} | ({"since": self.since} if self.since else {})
        answer = await persistently(lambda: self.client.call("GET", f"{CLIENT}/sync", query=query))
        for each in answer.get("to_device", {}).get("events", []):
            self.device.receive_to_device(each)
        self.since = answer["next_batch"]


@dataclass(slots=True)
class Member:
    name: str
    user_id: str
    password: str
    phones: list[Phone] = field(default_factory=list)

    async def one_more_device(self, url: str) -> None:
        client, device_id = HomeserverClient(url), new_device_id()
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": self.password,
            "device_id": device_id,
        }
        client.token = (await persistently(lambda: client.call("POST", f"{CLIENT}/login", login)))["access_token"]
        device = Device(self.user_id, device_id)
        keys = {"device_keys": device.device_keys(), "one_time_keys": device.new_one_time_keys(3)}
        await persistently(lambda: client.call("POST", f"{CLIENT}/keys/upload", keys))
        self.phones.append(Phone(client, device))

    async def reads(self, room: str, event: str) -> list[str]:
        """What each device makes of it."""
        return [await phone.reads(room, event) for phone in self.phones]


class Asking:
    """Counts the desk's requests about keys."""

    def __init__(self, hands: DeskHands) -> None:
        self.count, self._call = Counter[str](), hands.http.call
        hands.http.call = self.call  # type: ignore[method-assign]

    async def call(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        self.count.update(name for name in ASKED if f"/{name}" in url)
        return await self._call(method, url, *args, **more)

    def taken(self) -> dict[str, int]:
        taken, self.count = dict(self.count), Counter()
        return taken


@pytest.fixture
async def hands(synapse: Synapse, database: AsyncEngine) -> AsyncIterator[DeskHands]:
    account = await synapse.register("desk-of-many")
    hands = DeskHands(synapse.url, account.user_id, database)
    await hands.open(account.password)
    async with hands.encrypting():
        yield hands
    await hands.http.close()


async def test_a_thousand_members_are_given_the_key_while_others_are_served(
    hands: DeskHands, synapse: Synapse, people: People
) -> None:
    group, chat = await hands.group("General"), await _chat(hands, people)
    room = await hands.group_room(group)
    members = await _all(lambda n: _member(synapse, n), range(MEMBERS))
    await _seated(hands, room, members)
    asking, figures = Asking(hands), dict[str, object]()

    first, took = await _beside(hands, room, chat, "first")
    figures["the key to all"] = (took, asking.taken())
    storm = members[0]
    await _all(lambda _: storm.one_more_device(synapse.url), range(STORM - 1))
    await hands.received()
    second, took = await _beside(hands, room, chat, "second")
    figures["to 49 new devices"] = (took, asking.taken())
    readers = [storm, *random.Random(31).sample(members[1:], READERS)]
    assert await _unread(readers, room, second) == []
    assert [await each.reads(room, first) for each in readers[1:]] == [["first"]] * READERS

    gone = readers.pop()
    await hands.leaves("General", gone.user_id)
    await hands.desk.unseat(room, gone.user_id)
    await hands.received()
    third, took = await _beside(hands, room, chat, "third")
    figures["a new key without one"] = (took, asking.taken())
    assert await _unread(readers, room, third) == []
    sealed = await _sealed(readers[1].phones[0].client, room, third)
    assert all([await phone.cannot_open(room, sealed) for phone in gone.phones])
    print("\n" + "\n".join(f"{MEMBERS} members, {name}: {figure}" for name, figure in figures.items()))
    await _all(lambda each: _left(each), members)


async def _beside(hands: DeskHands, room: str, chat: str, text: str) -> tuple[str, str]:
    """Says it in the large room, and meanwhile something in a small one, which must not wait for it."""
    began = time.monotonic()
    large = asyncio.create_task(_say(hands, room, text))
    await asyncio.sleep(0)
    await _say(hands, chat, f"beside {text}")
    beside = time.monotonic() - began
    event = await large
    whole = time.monotonic() - began
    return event, f"{whole:.1f} s, in another room {beside:.2f} s"


async def _say(hands: DeskHands, room: str, text: str) -> str:
    return await hands.desk.post(Place(room=room), Said(plain=text, html=""), txn=text, policy=DevicePolicy.ANY)


async def _chat(hands: DeskHands, people: People) -> str:
    """A second room whose key is where it has to be."""
    ben = await people.person("ben")
    group = await hands.group("Small", ben.user_id)
    room = await hands.group_room(group, ben.user_id)
    await hands.received()
    await _say(hands, room, "before")
    return room


async def _member(synapse: Synapse, number: int) -> Member:
    account = await synapse.register(f"member{number:04}")
    member = Member(f"member{number:04}", account.user_id, account.password)
    await member.one_more_device(synapse.url)
    return member


async def _seated(hands: DeskHands, room: str, members: list[Member]) -> None:
    change = Administration(hands.database, hands.keys, namespace=NAMESPACE, desk=hands.user_id)
    for member in members:
        await change.add_member("General", member.user_id, "agent")

    async def comes(member: Member) -> None:
        await persistently(lambda: hands.invite(room, member.user_id))
        client = member.phones[0].client
        await persistently(lambda: client.call("POST", f"{CLIENT}/join/{path(room)}", {}))

    await _all(comes, members)
    await hands.received()


async def _unread(readers: list[Member], room: str, event: str) -> list[str]:
    texts = {each.name: await each.reads(room, event) for each in readers}
    return [name for name, read in texts.items() if "" in read]


async def _sealed(client: HomeserverClient, room: str, event: str) -> Mapping[str, Any]:
    url = f"{CLIENT}/rooms/{path(room, 'event', event)}"
    content: Mapping[str, Any] = (await persistently(lambda: client.call("GET", url)))["content"]
    return content


async def _left(member: Member) -> None:
    for phone in member.phones:
        await phone.client.close()


async def _all(work: Callable[[Any], Awaitable[T]], things: Iterable[Any]) -> list[T]:
    """A few at once: the homeserver is one process."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(thing: Any) -> T:
        async with turn:
            return await work(thing)

    return await asyncio.gather(*map(one, things))
