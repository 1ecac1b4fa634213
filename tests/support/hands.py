"""The desk's hands on a homeserver, without the rest of the product: what the use cases would call is called by the
test, and what comes in is taken out of the inbox by it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import ChatReady, Item
from messenger.domain.people import SkillGroup
from messenger.matrix.chat_channel import MatrixChannel
from messenger.matrix.chat_door import MatrixDoor
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.desk import MatrixDesk
from messenger.matrix.http import CLIENT, HomeserverClient, path
from messenger.matrix.invites import InvitePolicy
from messenger.matrix.media import MatrixMedia
from messenger.matrix.room_book import RoomBook
from messenger.matrix.sender import Encryptor, Sender
from messenger.matrix.sent_lookup import SentLookup
from messenger.matrix.sync import SyncLoop
from messenger.storage import leases
from messenger.storage.administration import Administration
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.desks import desk_key
from messenger.storage.models.people import skill_group
from messenger.storage.unit_of_work import SqlUnits
from messenger.workers.supervise import for_ever
from tests.support.keyring import keys_of

NAMESPACE = UUID(int=1)


class DeskHands:
    """Desk and channel of one account on one homeserver. `open` logs in."""

    def __init__(self, url: str, user_id: str, database: AsyncEngine) -> None:
        self.user_id, self.database = user_id, database
        self.http = HomeserverClient(url)
        self.keys = keys_of(database)
        self.units = SqlUnits(database, self.keys, namespace=NAMESPACE, desk=user_id)

    async def open(self, password: str) -> None:
        user = {"identifier": {"type": "m.id.user", "user": self.user_id}}
        login = {"type": "m.login.password", "password": password, **user}
        answer = await self.http.call("POST", f"{CLIENT}/login", login)
        self.http.token = answer["access_token"]
        lease = await leases.acquire(self.database, f"desk:{self.user_id}", "test", timedelta(hours=1))
        assert lease is not None
        key = await desk_key(self.keys, self.user_id)
        store = SqlDeskStore(self.database, self.keys, account=self.user_id, key=key, lease=lease)
        self.engine = NioEngine(self.http, store, user_id=self.user_id, device_id=answer["device_id"])
        await self.engine.start()
        self.book, self.encryptor = RoomBook(self.http, store), Encryptor(self.engine)
        self.sender = Sender(self.http, self.book, self.encryptor, on_left_out=lambda device: None)
        self.store, media = store, MatrixMedia(self.http)
        self.lookup = lookup = SentLookup(self.http, self.engine, store)
        self.desk = MatrixDesk(self.http, self.sender, media, self.book, self.engine, lookup)
        self.channel = MatrixChannel(self.http, self.sender, media, lookup, account=self.user_id)
        self.chats = MatrixDoor(self.http, account=self.user_id, organisation="Linden Health")
        self.sync = SyncLoop(
            self.http,
            self.engine,
            store,
            invites=InvitePolicy(),
            on_rooms=self.book.forget,
            on_batch=lambda: None,
        )

    @contextlib.asynccontextmanager
    async def encrypting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(for_ever("encryptor", self.encryptor.step))
        yield
        task.cancel()

    async def enter(self, room: str, person: str, *, farewell: str) -> None:
        """Makes the room a chat that the core knows."""
        ready = await self.chats.join(room, person, farewell=farewell)
        assert isinstance(ready, ChatReady)
        async with self.units() as unit:
            await unit.chats.open(ready)

    async def group(self, name: str, *addresses: str) -> SkillGroup:
        change = Administration(self.database, self.keys, namespace=NAMESPACE, desk=self.user_id)
        await change.add_group(name, is_default=True, languages=(), keywords=(), settings={})
        for address in addresses:
            await change.add_member(name, address, "agent")
        async with self.units() as unit:
            return next(group for group in await unit.people.groups() if group.name == name)

    async def leaves(self, group: str, address: str) -> None:
        """Out of the group, as the database knows it; what the desk does about it is another step."""
        change = Administration(self.database, self.keys, namespace=NAMESPACE, desk=self.user_id)
        await change.remove_member(group, address)
        async with self.units() as unit:
            rooms = [room for each in await unit.people.groups() if (room := await unit.people.room_of_group(each.id))]
        self.book.forget(rooms)

    async def group_room(self, group: SkillGroup, *addresses: str) -> str:
        room = await self.desk.provide_room(group)
        async with self.database.begin() as connection:
            await connection.execute(sa.update(skill_group).where(skill_group.c.id == group.id).values(room_id=room))
        for address in addresses:
            await self.invite(room, address)
        return room

    async def invite(self, room: str, address: str) -> None:
        """Without the earlier keys, which only a device that is signed may share (`Desk.seat`)."""
        await self.http.call("POST", f"{CLIENT}/rooms/{path(room, 'invite')}", {"user_id": address})
        self.book.forget([room])

    async def received(self) -> list[Item]:
        """Reads once and takes everything out of the inbox."""
        await self.sync.once(timeout_ms=500)
        items = []
        async with self.units() as unit:
            while row := await unit.inbox.claim():
                items.append(row.item)
                await unit.inbox.settle(row)
        return items
