"""A homeserver that knows only what end-to-end encryption needs, in this process, and that can be told to misbehave."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

UserDevice = tuple[str, str]


@dataclass(slots=True)
class Hold:
    """The next request at a path with this word waits until it is told to go on; then it is done, or refused."""

    word: str
    is_done: bool
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def let_go(self) -> None:
        self.goes_on.set()
        await self.is_over.wait()


class FakeHomeserver:
    """Tokens are `user|device`. `broken` answers 502 at paths that contain one of its words, as often as its number
    says."""

    def __init__(self) -> None:
        self.device_keys: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.master_keys: dict[str, Any] = {}
        self.self_signing_keys: dict[str, Any] = {}
        self.one_time_keys: dict[UserDevice, dict[str, Any]] = defaultdict(dict)
        self.fallback_keys: dict[UserDevice, dict[str, Any]] = defaultdict(dict)
        self.to_device: dict[UserDevice, list[dict[str, Any]]] = defaultdict(list)
        self.media: dict[str, bytes] = {}
        self.failures: set[str] = set()
        self.refused_users: set[str] = set()
        self.broken: Counter[str] = Counter()
        self.not_taken: list[bytes] = []  # what was said at broken paths
        self.holds: list[Hold] = []
        self._at_hold: list[Hold] = []
        self.calls: Counter[str] = Counter()
        self.queries: list[list[str]] = []
        self.claims: list[list[UserDevice]] = []
        self.on_to_device: Callable[[], None] = lambda: None
        self._done: set[tuple[str, str]] = set()
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeHomeserver"]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        yield self
        for hold in self._at_hold:
            hold.goes_on.set()
        await runner.cleanup()

    def count(self, user_id: str, device_id: str) -> int:
        return len(self.one_time_keys[user_id, device_id])

    def take_to_device(self, user_id: str, device_id: str) -> list[dict[str, Any]]:
        return self.to_device.pop((user_id, device_id), [])

    def hold(self, word: str, *, is_done: bool) -> Hold:
        self.holds.append(Hold(word, is_done))
        return self.holds[-1]

    async def _answer(self, request: web.Request) -> web.Response:
        """Also for somebody who has hung up meanwhile."""
        for hold in [hold for hold in self.holds if hold.word in request.path]:
            self.holds.remove(hold)
            self._at_hold.append(hold)
            await request.read()
            hold.reached.set()
            await hold.goes_on.wait()
            try:
                return await self._handle(request) if hold.is_done else web.json_response({}, status=502)
            finally:
                hold.is_over.set()
        return await self._handle(request)

    async def _handle(self, request: web.Request) -> web.Response:
        for word in [word for word, left in self.broken.items() if left and word in request.path]:
            self.broken[word] -= 1
            self.not_taken.append(await request.read())
            return web.json_response({"errcode": "M_UNKNOWN"}, status=502)
        user, _, device = request.headers["Authorization"].removeprefix("Bearer ").partition("|")
        if "/media/" in request.path:
            return self._upload_media(await request.read())
        body = json.loads(await request.read())
        name = request.path.split("/v3/")[1]
        self.calls[name.split("/")[0] + "/" + name.split("/")[1]] += 1
        if name.startswith("sendToDevice/"):
            return self._send_to_device(user, request.path, body["messages"])
        answers = {"keys/upload": self._upload, "keys/query": self._query, "keys/claim": self._claim}
        return answers[name]((user, device), body)

    def _upload(self, sender: UserDevice, body: Mapping[str, Any]) -> web.Response:
        user_id, device_id = sender
        known = self.one_time_keys[sender]
        for key_id, key in body.get("one_time_keys", {}).items():
            if key_id in known and known[key_id] != key:
                error = f"One time key {key_id} already exists."
                return web.json_response({"errcode": "M_UNKNOWN", "error": error}, status=400)
        known |= body.get("one_time_keys", {})
        self.fallback_keys[sender] = body.get("fallback_keys", self.fallback_keys[sender])
        if "device_keys" in body:
            self.device_keys[user_id][device_id] = body["device_keys"]
        return web.json_response({"one_time_key_counts": {"signed_curve25519": len(known)}})

    def _query(self, sender: UserDevice, body: Mapping[str, Any]) -> web.Response:
        wanted = [user for user in body["device_keys"] if user.partition(":")[2] not in self.failures]
        self.queries.append(sorted(body["device_keys"]))
        if self.refused_users & body["device_keys"].keys():
            return web.json_response({"errcode": "M_INVALID_PARAM"}, status=400)
        return web.json_response(
            {
                "device_keys": {user: self.device_keys[user] for user in wanted},
                "master_keys": {user: key for user, key in self.master_keys.items() if user in wanted},
                "self_signing_keys": {user: key for user, key in self.self_signing_keys.items() if user in wanted},
                "failures": {server: {} for server in self.failures},
            }
        )

    def _claim(self, sender: UserDevice, body: Mapping[str, Any]) -> web.Response:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        wanted = [(user, device) for user, devices in body["one_time_keys"].items() for device in devices]
        self.claims.append(wanted)
        for user, device in wanted:
            if keys := self.one_time_keys[user, device]:
                key_id = next(iter(keys))
                found[user][device] = {key_id: keys.pop(key_id)}
        return web.json_response({"one_time_keys": found, "failures": {}})

    def _send_to_device(self, sender: str, path: str, messages: Mapping[str, Any]) -> web.Response:
        self.on_to_device()
        event_type, txn = path.split("/")[-2:]
        if (sender, txn) not in self._done:
            self._done.add((sender, txn))
            for user, devices in messages.items():
                for device, content in devices.items():
                    self.to_device[user, device].append({"type": event_type, "sender": sender, "content": content})
        return web.json_response({})

    def _upload_media(self, data: bytes) -> web.Response:
        url = f"mxc://test/{len(self.media)}"
        self.media[url] = data
        return web.json_response({"content_uri": url})
