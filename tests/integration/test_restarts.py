"""What a restarted program asks the homeserver: it goes on where it was, by its token and the rooms in its tables.

T17 of the pitfalls: an initial sync is answered from the homeserver's cache, and a full state costs it 19 ms a room."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from messenger import bootstrap
from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from messenger.storage.models.queues import cursor
from tests.hostile.scene import Accounts
from tests.support.crowd import Writer
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_homeserver.server import Request
from tests.support.product import Product
from tests.support.waiting import eventually


class House:
    """An installation that serves in this process, and a customer."""

    def __init__(self, homeserver: FakeHomeserver, product: Product) -> None:
        self.homeserver, self.product = homeserver, product
        self.customer = Writer(homeserver.world, "anna")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        stop, ready = asyncio.Event(), asyncio.Event()
        service = asyncio.create_task(bootstrap.serve(self.product.settings, stop=stop, ready=ready.set))
        try:
            await eventually(ready.is_set, what="it serves", progress=lambda: len(self.homeserver.requests))
            yield
        finally:
            stop.set()
            await service

    async def answered(self, chat: str) -> None:
        """The desk is in the chat and has said something there."""
        desk = self.product.desk
        await eventually(
            lambda: any(seen.sender == desk and seen.is_readable for seen in self.customer.read(chat)),
            what="the desk speaks",
            progress=lambda: self.homeserver.world.position,
        )

    def syncs(self) -> list[Request]:
        return self.homeserver.sent_to("/_matrix/client/v3/sync", "GET")

    async def token(self) -> str:
        """As it is kept."""
        engine = connect(self.product.database_url)
        async with engine.begin() as connection:
            found = str(await connection.scalar(sa.select(cursor.c.token)))
        await engine.dispose()
        return found


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    homeserver = FakeHomeserver()
    await homeserver.start()
    accounts = cast(Synapse, Accounts(homeserver))
    product = await Product.install(tmp_path / "stellwerk", accounts, database_url)
    yield House(homeserver, product)
    await homeserver.stop()


async def test_after_a_restart_the_first_sync_goes_on_from_the_token_and_asks_for_no_full_state(house: House) -> None:
    await house.product.add_group("General", default=True)
    chats = [house.customer.start_direct_chat(house.product.desk)]
    async with house.serving():
        await house.answered(chats[0])
    assert "since" not in house.syncs()[0].query, "the very first has nowhere to go on from"
    known = await house.token()

    house.homeserver.requests.clear()
    chats.append(house.customer.start_direct_chat(house.product.desk))
    async with house.serving():
        await house.answered(chats[1])
    asked = [request.query for request in house.syncs()]
    assert asked[0]["since"] == known
    assert all(query.get("since") for query in asked)
    assert not any("full_state" in query for query in asked)
    assert not any(json.loads(query["filter"])["room"]["state"]["lazy_load_members"] for query in asked)
    about_the_old = [request.path for request in house.homeserver.requests if chats[0] in request.path]
    assert about_the_old == [], "its state is in our tables"
