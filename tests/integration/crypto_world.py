"""A desk's crypto engine among peers with an Olm implementation of their own, on the in-process homeserver."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from messenger.app.desk_ports import DeskStore
from messenger.matrix.crypto.canonical import add_signature, canonical_json, ub64
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.crypto.state import Limits
from messenger.matrix.engine import Decrypted, Sealed, SendRequest, SyncCrypto
from messenger.matrix.http import HomeserverClient
from tests.integration.crypto_homeserver import FakeHomeserver
from tests.support.desk_store import MemoryDeskStore
from tests.support.device import Device

DESK, DESK_DEVICE = "@desk:test", "DESK1"
ROOM = "!room:test"
Content = dict[str, Any]
numbers = itertools.count(1)


class Clock:
    """The engine's clock; tests turn it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Peer(Device):
    """Somebody's device, published on the homeserver. Encrypts for the desk without asking anybody."""

    def __init__(self, server: FakeHomeserver, user_id: str, device_id: str = "", *, one_time_keys: int = 10) -> None:
        super().__init__(user_id, device_id or f"D{next(numbers)}")
        self.server = server
        self.identity: Identity | None = None
        server.device_keys[user_id][self.device_id] = self.device_keys()
        server.one_time_keys[user_id, self.device_id] |= self.new_one_time_keys(one_time_keys)

    def cross_sign(self, identity: "Identity | None" = None) -> "Identity":
        self.identity = identity or Identity(self.server, self.user_id)
        self.server.device_keys[self.user_id][self.device_id] = self.identity.sign_device(self.device_keys())
        return self.identity

    def to_desk(self, event_type: str, content: Content, *, sender: str = "") -> Content:
        """A to-device event as the desk's /sync would show it."""
        keys = self.server.device_keys[DESK][DESK_DEVICE]
        if not self.can_write_to(keys["keys"]["curve25519:" + DESK_DEVICE]):
            pool = self.server.one_time_keys[DESK, DESK_DEVICE]
            one_time_key = pool.pop(next(iter(pool)))["key"]
            self.open_session(keys["keys"]["curve25519:" + DESK_DEVICE], one_time_key)
        return {
            "type": "m.room.encrypted",
            "sender": sender or self.user_id,
            "content": self.encrypt_to_device(keys, event_type, content),
        }

    def share_key(self, **extra: Any) -> Content:
        return self.to_desk("m.room_key", {**self.room_key(ROOM), **extra})

    def say(self, text: str, room_id: str = ROOM, **extra: Any) -> tuple[str, Content]:
        content = self.encrypt(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **extra})
        return room_id, event_of(self.user_id, content)

    def read(self, sealed: object, room_id: str = ROOM) -> str | None:
        """Takes what came for this device, then decrypts."""
        assert isinstance(sealed, Sealed), sealed
        self.take_keys()
        plain = self.decrypt(room_id, sealed.content)
        return plain["content"]["body"] if plain else None

    def take_keys(self) -> list[Content]:
        events = self.server.take_to_device(self.user_id, self.device_id)
        opened = [self.receive_to_device(event) for event in events]
        return [event for event in opened if event is not None]


class Identity:
    """A user's cross-signing keys, published."""

    def __init__(self, server: FakeHomeserver, user_id: str) -> None:
        self.user_id, self._master, self._signing = user_id, Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.master = ub64(self._master.public_key().public_bytes_raw())
        self.self_signing = ub64(self._signing.public_key().public_bytes_raw())
        server.master_keys[user_id] = self._published("master", self.master)
        signed = self._published("self_signing", self.self_signing)
        server.self_signing_keys[user_id] = _sign(signed, user_id, self._master, self.master)

    def _published(self, usage: str, key: str) -> Content:
        return {"user_id": self.user_id, "usage": [usage], "keys": {"ed25519:" + key: key}}

    def sign_device(self, keys: Content) -> Content:
        return _sign(keys, self.user_id, self._signing, self.self_signing)


class World:
    """The desk and its homeserver. `store` and `clock` survive a restart of the engine."""

    def __init__(self, server: FakeHomeserver, store: DeskStore, clock: Clock, *, limits: Limits | None = None) -> None:
        self.server, self.store, self.clock, self._limits = server, store, clock, limits
        self.http = HomeserverClient(server.url, token=f"{DESK}|{DESK_DEVICE}")
        self.engine = self.new_engine()

    def new_engine(self) -> NioEngine:
        return NioEngine(
            self.http, self.store, user_id=DESK, device_id=DESK_DEVICE, limits=self._limits, clock=self.clock
        )

    async def restart(self) -> None:
        self.engine = self.new_engine()
        await self.engine.start()

    async def sync(
        self, *, to_device: Sequence[Any] = (), events: Sequence[tuple[str, Any]] = (), **batch: Any
    ) -> list[Decrypted]:
        """One batch through the engine, as the sync loop drives it."""
        crypto = SyncCrypto(to_device=to_device, events=events, **batch)
        await self.engine.prepare(crypto)
        async with self.engine.exclusive():
            try:
                async with self.store.unit() as unit:
                    self.news = await self.engine.receive(unit, crypto)
                    decrypted = [self.engine.decrypt(room, event) for room, event in events]
                    await self.engine.flush(unit)
            except BaseException:
                await self.engine.reload()
                raise
        await self.engine.settle()
        return decrypted

    async def again(self, *events: tuple[str, Any]) -> list[Decrypted]:
        """Parked events, tried once more."""
        async with self.engine.exclusive(), self.store.unit() as unit:
            pairs = [(room, event["content"]["session_id"]) for room, event in events]
            await self.engine.load_sessions(unit, pairs)
            return [self.engine.decrypt(room, event) for room, event in events]

    async def send(self, text: str, *people: str, **options: Any) -> Any:
        [sealed] = await self.engine.encrypt([message(text, *people, **options)])
        return sealed

    def cross_sign_desk(self) -> Identity:
        identity = Identity(self.server, DESK)
        signed = identity.sign_device(self.engine.device_keys())
        self.server.device_keys[DESK][DESK_DEVICE] = signed
        self.engine.signed_device_keys = signed
        return identity


@asynccontextmanager
async def a_world(store: DeskStore | None = None, *, limits: Limits | None = None) -> AsyncIterator[World]:
    async with FakeHomeserver().running() as server:
        world = World(server, store or MemoryDeskStore(DESK), Clock(), limits=limits)
        await world.engine.start()
        yield world
        await world.http.close()


def message(text: str, *people: str, room_id: str = ROOM, **options: Any) -> SendRequest:
    content = options.pop("content", {"msgtype": "m.text", "body": text})
    return SendRequest(
        room_id=room_id, recipients=frozenset({*people, DESK}), type="m.room.message", content=content, **options
    )


def event_of(sender: str, content: Content) -> Content:
    return {"type": "m.room.encrypted", "sender": sender, "event_id": f"${next(numbers)}", "content": content}


def _sign(value: Content, user_id: str, key: Ed25519PrivateKey, name: str) -> Content:
    return add_signature(value, user_id, name, ub64(key.sign(canonical_json(value))))
