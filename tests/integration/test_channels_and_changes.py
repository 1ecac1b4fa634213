"""Each kind of channel and each kind of change: it is passed on, or its author reads that it is not. Never neither."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import Deliverer
from messenger.app.effects.customer import AtCustomer, MirrorReactions
from messenger.app.effects.thread import PostNotice
from messenger.app.hands import Hands, Organisation
from messenger.app.outside_ports import CustomerChannel
from messenger.app.records import File
from messenger.channels.capabilities import Capabilities
from messenger.channels.messages import Handle, OutboundMessage, RemoteId, Sent
from messenger.channels.testing import FakeBridge, FakePeer
from messenger.channels.testing.fake import Delivered
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.models.queues import outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake
from tests.integration.staff_desk import DESK, ROOM, StaffDesk, staff_reacts, staff_says
from tests.integration.test_answers_changed import edits, takes_back

BEN = "@ben:x"


class Everything(FakeBridge):
    """A channel that can do all."""

    async def send_file(self, message: OutboundMessage, file: File) -> Sent:
        return await self.send(message)


class FewReactions(Everything):
    def capabilities(self, to: Handle | None = None) -> Capabilities:
        return replace(super().capabilities(to), reactions_allowed=frozenset({"👍"}))


class OnlyTexts:
    """A channel like SMS: what is sent is sent."""

    def __init__(self, peer: FakePeer) -> None:
        self._bridge = Everything(peer)

    def capabilities(self, to: Handle | None = None) -> Capabilities:
        return Capabilities(checked_on=self._bridge.capabilities().checked_on, text_max=160)

    async def send(self, message: OutboundMessage) -> Sent:
        return await self._bridge.send(message)


class World:
    """A conversation of Ben's on one channel, and the worker that sends."""

    def __init__(self, desk: StaffDesk, queue: SqlOutboxQueue, channel: object) -> None:
        self.desk, self._queue = desk, queue
        hands = Hands(
            units=desk.units,
            desk=cast(Any, None),  # what is for the staff is not carried out here
            channel=cast(CustomerChannel, channel),
            door=cast(Any, None),
            files=cast(Any, None),
            organisation=Organisation(name="Linden Health"),
        )
        self._worker = OutboxWorker(queue, Deliverer(hands), device="D", wake=Wake(0.01), after=Wake(0.01))

    async def happens(self, item: object) -> None:
        """The item, and all that follows from it at the customer's."""
        await self.desk.put(item)  # type: ignore[arg-type]
        await self.desk.work(1)
        await self._send()
        await self.desk.work(1)

    async def _send(self) -> None:
        kinds = [kind.__name__ for kind in (*AtCustomer.__subclasses__(), MirrorReactions)]
        async with self.desk.engine.begin() as connection:
            waiting = outbox.update().where(outbox.c.state == "new")
            await connection.execute(waiting.where(outbox.c.kind.not_in(kinds)).values(state="sent"))
            await connection.execute(waiting.values(next_at=sa.func.now()))
        while await self._is_waiting():
            await self._worker.step()
            await self._worker.drain()

    async def _is_waiting(self) -> bool:
        query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state.in_(("new", "claimed")))
        async with self.desk.engine.begin() as connection:
            return bool(await connection.scalar(query))

    async def notices(self) -> set[str]:
        return {each.text for each in await self.desk.effects() if isinstance(each, PostNotice)}


async def settle_for_ever(queue: SqlOutboxQueue) -> None:
    while True:
        await queue.step()


@pytest.fixture
async def open_world(database: AsyncEngine) -> AsyncIterator[Callable[[object], Awaitable[World]]]:
    desk = StaffDesk(database)
    await desk.set_up([BEN])
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)
    settling = asyncio.create_task(settle_for_ever(queue))

    async def opened(channel: object) -> World:
        world = World(desk, queue, channel)
        async with desk.units() as unit:
            first = await unit.messages.find_trace(DESK, "$first")
            assert first is not None
            await unit.messages.add_trace(replace(first, remote_id="$shown", room=ROOM, kind="copy"))
        await world.happens(staff_reacts(BEN, "👀"))
        said = replace(staff_says(BEN, "first words", event="$a"), at=utc_now(), reply_to="$shown")
        await world.happens(said)
        return world

    yield opened
    settling.cancel()


CHANNELS = {"everything": Everything, "few reactions": FewReactions, "only texts": OnlyTexts}
ANSWER = RemoteId("out-2")  # the first is the customer's own message, as the peer numbers them


def text(peer: FakePeer) -> object:
    return peer.find(ANSWER).text


def is_deleted(peer: FakePeer) -> object:
    return peer.find(ANSWER).deleted


def reactions(peer: FakePeer) -> object:
    return set(peer.find(RemoteId("$first")).reactions)


@pytest.mark.parametrize(
    ("kind", "change", "look", "wanted", "told"),
    [
        ("everything", edits("new words"), text, "ben: new words", None),
        ("everything", takes_back(), is_deleted, True, None),
        ("everything", staff_reacts(BEN, "🎉", target="$shown"), reactions, {"🎉"}, None),
        ("few reactions", staff_reacts(BEN, "👍", target="$shown"), reactions, {"👍"}, None),
        ("few reactions", staff_reacts(BEN, "🎉", target="$shown"), reactions, set(), "S14.reaction"),
        ("only texts", edits("new words"), text, "ben: first words", "S14.refused"),
        ("only texts", takes_back(), is_deleted, False, "S14.refused"),
        ("only texts", staff_reacts(BEN, "🎉", target="$shown"), reactions, set(), "S14.reaction"),
    ],
)
async def test_a_change_is_passed_on_or_its_author_reads_that_it_is_not(
    open_world: Callable[[object], Awaitable[World]],
    kind: str,
    change: object,
    look: Callable[[FakePeer], object],
    wanted: object,
    told: str | None,
) -> None:
    peer = FakePeer()
    peer.delivered.append(Delivered(remote_id=RemoteId("$first"), key="", to="kim", text="Hello"))
    world = await open_world(CHANNELS[kind](peer))
    assert (peer.find(ANSWER).text, peer.find(ANSWER).reply_to) == ("ben: first words", "$first")
    await world.happens(change)
    assert look(peer) == wanted
    assert {each for each in await world.notices() if each.startswith("S14")} == ({told} if told else set())


async def test_a_reaction_to_a_message_that_is_gone_is_no_failure(
    open_world: Callable[[object], Awaitable[World]],
) -> None:
    world = await open_world(Everything(FakePeer()))
    await world.happens(staff_reacts(BEN, "🎉", target="$shown"))
    assert not {each for each in await world.notices() if each.startswith("S14")}
