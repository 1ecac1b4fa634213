"""Broken /sync answers through the real sync loop, engine and database: the loop lives, good events beside the broken
ones are taken, and the log says an error once."""

import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import ChatReady
from messenger.channels.errors import LeaseLost
from messenger.channels.messages import Handle
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.http import CLIENT, HomeserverClient
from messenger.matrix.invites import InvitePolicy
from messenger.matrix.sync import SyncLoop
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import desk_key
from messenger.storage.models.queues import inbox
from messenger.storage.unit_of_work import SqlUnits
from messenger.workers.supervise import for_ever
from tests.support.crowd import Writer
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fuzz import fuzzed_bodies, wound
from tests.support.keyring import keys_of


class Lookout:
    """A desk that only reads: its loop, and two customers of whom one is honest."""

    def __init__(self, server: FakeHomeserver, database: AsyncEngine) -> None:
        self.server, self.database = server, database
        self.keys = keys_of(database)
        self.honest, self.hostile = Writer(server.world, "honest"), Writer(server.world, "hostile")

    async def open(self) -> None:
        account = self.server.register("desk")
        self.http = HomeserverClient(self.server.url)
        login = {"type": "m.login.password", "password": account.password}
        user = {"identifier": {"type": "m.id.user", "user": account.user_id}}
        answer = await self.http.call("POST", f"{CLIENT}/login", {**login, **user})
        self.http.token, self.user_id = answer["access_token"], account.user_id
        lease = await leases.acquire(self.database, f"desk:{self.user_id}", "test", timedelta(hours=1))
        assert lease is not None
        self._lease, self._device_id = lease, answer["device_id"]
        await self.restart()
        self.rooms = {each: await self._chat(each) for each in (self.honest, self.hostile)}

    async def restart(self) -> None:
        """What only memory knew is gone."""
        key = await desk_key(self.keys, self.user_id)
        store = SqlDeskStore(self.database, self.keys, account=self.user_id, key=key, lease=self._lease)
        engine = NioEngine(self.http, store, user_id=self.user_id, device_id=self._device_id)
        await engine.start()
        policy = InvitePolicy()
        self.loop = SyncLoop(
            self.http, engine, store, invites=policy, on_rooms=lambda rooms: None, on_batch=lambda: None
        )

    async def _chat(self, writer: Writer) -> str:
        room = writer.start_direct_chat(self.user_id)
        self.server.world.join(self.server.world.rooms[room], self.user_id)
        person = Handle(kind="mxid", value=writer.user_id)
        ready = ChatReady(account=self.user_id, chat=room, person=person, name="", at=utc_now())
        units = SqlUnits(self.database, self.keys, namespace=UUID(int=9), desk=self.user_id)
        async with units() as unit:
            await unit.chats.open(ready)
        return room

    def both(self) -> tuple[str, str]:
        """The rooms of the honest and of the hostile one."""
        return self.rooms[self.honest], self.rooms[self.hostile]

    async def answer(self) -> dict[str, Any]:
        """What /sync would say now; the position stays where the loop is."""
        query = {"timeout": "0"} | ({"since": self.loop._since} if self.loop._since else {})
        body: dict[str, Any] = await self.http.call("GET", f"{CLIENT}/sync", query=query)
        return body

    async def step(self) -> str:
        """One turn of the loop, as the supervised worker takes it; returns the kind of error."""
        try:
            await self.loop.once(timeout_ms=0)
        except Exception as error:  # noqa: BLE001 - as the supervised edge, which logs it and tries again
            return type(error).__name__
        return ""

    async def has_taken(self, event: str) -> bool:
        async with self.database.begin() as connection:
            query = sa.select(inbox.c.kind).where(inbox.c.source_id == event)
            return await connection.scalar(query) == "InboundMessage"

    async def cursor(self) -> str | None:
        """The token that is kept."""
        return await self.loop._store.cursor()

    async def taken(self, room: str) -> list[str]:
        """Messages, in their order."""
        wanted = sa.and_(inbox.c.lane == room, inbox.c.kind == "InboundMessage")
        async with self.database.begin() as connection:
            return list(await connection.scalars(sa.select(inbox.c.source_id).where(wanted).order_by(inbox.c.id)))


class Enough(LeaseLost):
    """Ends the loop of a test: the only error that ends a supervised worker."""


@pytest.fixture
async def lookout(database: AsyncEngine) -> AsyncIterator[Lookout]:
    async with a_lookout(database) as lookout:
        yield lookout


@asynccontextmanager
async def a_lookout(database: AsyncEngine) -> AsyncIterator[Lookout]:
    server = FakeHomeserver(record=False)
    await server.start()
    lookout = Lookout(server, database)
    await lookout.open()
    yield lookout
    await lookout.http.close()
    await server.stop()


AMOUNTS = pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.long)])


@AMOUNTS
async def test_a_good_message_beside_a_broken_room_is_always_taken(lookout: Lookout, count: int) -> None:
    await lookout.step()
    chance = random.Random(count)
    honest, hostile = lookout.rooms[lookout.honest], lookout.rooms[lookout.hostile]
    for number in range(count):
        lookout.hostile.say(hostile, f"bad {number}")
        lookout.hostile.react(hostile, "$x", "👀")
        good = lookout.honest.say(honest, f"good {number}")
        body = deepcopy(await lookout.answer())
        for _ in range(chance.randint(1, 5)):
            wound(chance, body["rooms"]["join"][hostile])
        lookout.server.answer_sync_with(body)
        assert await lookout.step() == "", json.dumps(body["rooms"]["join"][hostile])[:3000]
        assert await lookout.has_taken(good), f"lost beside {json.dumps(body['rooms']['join'][hostile])[:3000]}"


@AMOUNTS
async def test_whatever_the_answer_is_the_loop_goes_on(lookout: Lookout, count: int) -> None:
    await lookout.step()
    honest = lookout.rooms[lookout.honest]
    lookout.honest.say(honest, "model")
    models, kinds = [await lookout.answer()], set()
    await lookout.step()
    for number, body in enumerate(fuzzed_bodies(models, seed=count, count=count)):
        lookout.server.answer_sync_with(body)
        kinds.add(await lookout.step())
        lookout.loop._since = models[0]["next_batch"]  # tokens that it invented are of no use to the homeserver
        if number % 50 == 0:
            good = lookout.honest.say(honest, f"good {number}")
            await lookout.step()
            assert await lookout.has_taken(good)
    assert kinds <= {"", "ValueError", "RecursionError", "Unreachable", "MatrixError"}, "nobody thought of that one"


async def test_an_error_that_stays_is_logged_once(lookout: Lookout, caplog: pytest.LogCaptureFixture) -> None:
    await lookout.step()
    lookout.server.answer_sync_with(*([b'{"rooms": {}}'] * 4))
    good = lookout.honest.say(lookout.rooms[lookout.honest], "after it")

    async def step() -> None:
        if await lookout.has_taken(good):
            raise Enough
        await lookout.loop.once(timeout_ms=0)

    with caplog.at_level(logging.INFO), pytest.raises(Enough):
        await for_ever("sync", step, pause_s=0.01)
    failures = [record.message for record in caplog.records if record.name == "messenger.workers.supervise"]
    assert failures[:2] == ["worker failed, will try again", "worker works again"]
