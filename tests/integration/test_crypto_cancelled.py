"""T4 of the pitfalls: whoever waits for a message to be encrypted may be cancelled at any moment. The room stays free,
the ratchet right: the next message goes out and is read, and no message index ever covers two texts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import vodozemac

from messenger.app.desk_ports import CryptoRows
from messenger.matrix.engine import Sealed
from tests.integration.crypto_world import DESK, ROOM, Peer, World, a_world, event_of, message
from tests.support.desk_store import MemoryDeskStore

ANNA, BEN = "@anna:test", "@ben:test"
LONG_S = 30  # nothing here takes long: who waits so long waits for ever


class GatedStore(MemoryDeskStore):
    """One commit waits at the gate, before it is durable or after: the first since `close`, or a later one."""

    def __init__(self, account: str) -> None:
        super().__init__(account)
        self.gate: asyncio.Event | None = None
        self.reached, self.is_durable, self.lets_pass = asyncio.Event(), False, 0

    def close(self, *, is_durable: bool, lets_pass: int) -> None:
        self.gate, self.is_durable, self.lets_pass = asyncio.Event(), is_durable, lets_pass

    async def _pass(self, *, is_durable: bool) -> None:
        if self.gate is None or is_durable != self.is_durable:
            return
        self.lets_pass -= 1
        if self.lets_pass < 0:
            gate, self.gate = self.gate, None
            self.reached.set()
            await gate.wait()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[CryptoRows]:
        async with super().unit() as rows:
            yield rows
            await self._pass(is_durable=False)
        await self._pass(is_durable=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world(GatedStore(DESK)) as world:
        yield world


@pytest.fixture
def anna(world: World) -> Peer:
    return Peer(world.server, ANNA)


async def cancelled(
    world: World, sending: asyncio.Task[object], at: Callable[[], Awaitable[object]], *, others: int = 0
) -> None:
    """While so many others are on their way."""
    async with asyncio.timeout(LONG_S):
        await at()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert world.engine._state.in_flight == others, "else nothing would ever be trimmed"


async def say(world: World, text: str, *people: str, **options: object) -> Sealed:
    async with asyncio.timeout(LONG_S):
        sealed = await world.send(text, *people, **options)
    assert isinstance(sealed, Sealed), sealed
    return sealed


def index(reader: Peer, sealed: Sealed) -> tuple[str, int]:
    session = reader._inbound[ROOM, sealed.content["session_id"]]
    opened = session.decrypt(vodozemac.MegolmMessage.from_base64(sealed.content["ciphertext"]))
    return session.session_id, opened.message_index


async def all_is_well(world: World, reader: Peer, *before: Sealed) -> None:
    """The next two messages are read, one of them after a restart; each of all these has an index of its own, and the
    desk can open what it has said."""
    after = [await say(world, "next", reader.user_id)]
    await world.restart()
    after.append(await say(world, "after a restart", reader.user_id))
    assert [reader.read(sealed) for sealed in after] == ["next", "after a restart"]
    places = [index(reader, sealed) for sealed in (*before, *after)]
    assert len(set(places)) == len(places)
    said = [(ROOM, event_of(DESK, dict(sealed.content))) for sealed in (*before, *after)]
    assert [opened.state for opened in await world.again(*said)] == ["new"] * len(said)


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("call", ["keys/query", "keys/claim", "sendToDevice"])
async def test_a_send_that_is_cancelled_at_a_question_leaves_its_room_free(
    world: World, anna: Peer, call: str, is_done: bool
) -> None:
    """Whether the homeserver has done what it was asked for or not."""
    hold = world.server.hold(call, is_done=is_done)
    await cancelled(world, asyncio.create_task(world.send("cancelled", ANNA)), hold.reached.wait)
    await hold.let_go()
    await all_is_well(world, anna)


@pytest.mark.parametrize("call", ["keys/query", "keys/claim", "sendToDevice"])
async def test_what_hangs_for_ever_does_not_hold_the_room_of_who_has_given_up(
    world: World, anna: Peer, call: str
) -> None:
    hold = world.server.hold(call, is_done=True)
    await cancelled(world, asyncio.create_task(world.send("cancelled", ANNA)), hold.reached.wait)
    await all_is_well(world, anna)
    await hold.let_go()
    await all_is_well(world, anna)


async def at_commit(world: World, number: int, *, is_durable: bool) -> None:
    """A send is cancelled there."""
    assert isinstance(world.store, GatedStore)
    world.store.close(is_durable=is_durable, lets_pass=number)
    await cancelled(world, asyncio.create_task(world.send("cancelled", ANNA)), world.store.reached.wait)


COMMITS = {"device list": 0, "room key": 1, "who has it": 2, "message": 3}


@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("number", COMMITS.values(), ids=COMMITS)
async def test_a_first_send_that_is_cancelled_at_a_commit_uses_no_index_twice(
    world: World, anna: Peer, number: int, is_durable: bool
) -> None:
    await at_commit(world, number, is_durable=is_durable)
    await all_is_well(world, anna)


@pytest.mark.parametrize("is_durable", [True, False])
async def test_a_later_send_that_is_cancelled_at_its_commit_uses_no_index_twice(
    world: World, anna: Peer, is_durable: bool
) -> None:
    before = await say(world, "before", ANNA)
    assert anna.read(before) == "before"
    await at_commit(world, 0, is_durable=is_durable)
    await all_is_well(world, anna, before)


async def test_who_waits_for_the_same_room_goes_on_when_the_first_is_cancelled(world: World, anna: Peer) -> None:
    hold = world.server.hold("sendToDevice", is_done=False)
    first = asyncio.create_task(world.send("cancelled", ANNA))
    async with asyncio.timeout(LONG_S):
        await hold.reached.wait()
    second = asyncio.create_task(world.send("second", ANNA))
    await _has_begun(world, 2)
    await cancelled(world, first, hold.reached.wait, others=1)
    async with asyncio.timeout(LONG_S):
        sealed = await second
    assert anna.read(sealed) == "second"
    await hold.let_go()
    await all_is_well(world, anna, sealed)


async def test_who_is_cancelled_while_he_waits_takes_nothing_from_who_is_at_work(world: World, anna: Peer) -> None:
    hold = world.server.hold("sendToDevice", is_done=True)
    first = asyncio.create_task(world.send("first", ANNA))
    async with asyncio.timeout(LONG_S):
        await hold.reached.wait()
    waiting = asyncio.create_task(world.send("cancelled", ANNA))
    await _has_begun(world, 2)
    await cancelled(world, waiting, hold.reached.wait, others=1)
    third = asyncio.create_task(world.send("third", ANNA))
    await _has_begun(world, 2)
    assert not third.done(), "the first still has the room"
    await hold.let_go()
    async with asyncio.timeout(LONG_S):
        sealed = [await first, await third]
    assert [anna.read(each) for each in sealed] == ["first", "third"]
    await all_is_well(world, anna, *sealed)


async def test_a_group_of_rooms_that_is_cancelled_leaves_each_of_them_free(world: World, anna: Peer) -> None:
    ben = Peer(world.server, BEN)
    hold = world.server.hold("sendToDevice", is_done=True)
    group = [message("a", ANNA), message("b", BEN, room_id="!ben:test")]
    await cancelled(world, asyncio.create_task(world.engine.encrypt(group)), hold.reached.wait)  # type: ignore[arg-type]
    await hold.let_go()
    assert ben.read(await say(world, "for Ben", BEN, room_id="!ben:test"), "!ben:test") == "for Ben"
    await all_is_well(world, anna)


async def _has_begun(world: World, count: int) -> None:
    """So many sends are on their way, and have come as far as they can."""
    async with asyncio.timeout(LONG_S):
        while world.engine._state.in_flight < count:
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
