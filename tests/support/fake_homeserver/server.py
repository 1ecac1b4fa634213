"""The HTTP face of the fake homeserver: routes, access tokens, the record of requests."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web

from tests.support.fake_homeserver import api_keys, api_rooms, api_users
from tests.support.fake_homeserver.context import Context, Endpoint
from tests.support.fake_homeserver.faults import Faults, Handler
from tests.support.fake_homeserver.sync import has_news, sync_answer
from tests.support.fake_homeserver.world import Json, Refused, World

OPEN = ("/_matrix/client/versions", "/_matrix/client/v3/login", "/_matrix/federation/v1/version", "/health")
MAX_BODY_BYTES = 200 * 1024 * 1024
BODY: web.RequestKey[Any] = web.RequestKey("body", object)
USER_ID = web.RequestKey("user_id", str)


class Registered(NamedTuple):
    user_id: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One received request. `body` is the decoded JSON, or None."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    user_id: str
    status: int


class FakeHomeserver:
    """`record` False saves the memory of long runs; `requests` then stays empty."""

    def __init__(self, *, server_name: str = "fake.test", record: bool = True) -> None:
        self.world, self.faults = World(server_name), Faults()
        self.requests: list[Request] = []
        self.synced = 0  # how many /sync answers have been given
        self._record = record
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens on a free port; after `stop`, on the same one again, with everything it knew."""
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def register(self, name: str, password: str | None = None) -> Registered:
        account = self.world.register(name, password)
        return Registered(account.user_id, account.password)

    def answer_sync_with(self, *bodies: object) -> None:
        """Each is the whole answer of one of the next /sync requests, whatever is in it: any JSON, or bytes as they
        are."""
        encoded = (body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies)
        self.faults.sync_bodies.extend(encoded)
        for user_id in self.world.accounts:
            self.world.wake(user_id)

    def sent_to(self, path: str, method: str = "") -> list[Request]:
        """The recorded requests whose path contains the text."""
        return [request for request in self.requests if path in request.path and method in ("", request.method)]

    def _application(self) -> web.Application:
        middlewares = [self._errors_and_record, self.faults.middleware]
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
        for routes in (api_users.ROUTES, api_rooms.ROUTES, api_keys.ROUTES):
            for (method, path), endpoint in routes.items():
                app.router.add_route(method, path, self._handler(endpoint))
        app.router.add_get("/_matrix/client/v3/sync", self._sync)
        return app

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            answer = endpoint(await self._context(request))
            return answer if isinstance(answer, web.Response) else web.json_response(answer)

        return handle

    async def _context(self, request: web.Request) -> Context:
        raw = await request.read()
        device = self.world.devices_by_token.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if device is None and request.path not in OPEN:
            raise Refused(401, "M_UNKNOWN_TOKEN")
        is_media = request.path.startswith("/_matrix/media/")
        body = _decoded(raw) if raw and not is_media else {}
        request[BODY], request[USER_ID] = body, device.user_id if device else ""
        return Context(world=self.world, request=request, raw=raw, body=body, device=device)

    @web.middleware
    async def _errors_and_record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            answer = await handler(request)
        except Refused as refusal:
            body = {"errcode": refusal.errcode, "error": str(refusal)}
            answer = web.json_response(body, status=refusal.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            answer = web.json_response({"errcode": "M_UNRECOGNIZED", "error": request.path}, status=404)
        if self._record:
            await self._note(request, answer.status)
        return answer

    async def _note(self, request: web.Request, status: int) -> None:
        self.requests.append(
            Request(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                body=request.get(BODY),
                user_id=request.get(USER_ID, ""),
                status=status,
            )
        )

    async def _sync(self, request: web.Request) -> web.StreamResponse:
        context = await self._context(request)
        self.synced += 1
        if self.faults.sync_bodies:
            return web.Response(body=self.faults.sync_bodies.popleft(), content_type="application/json")
        since = request.query.get("since")
        position = int(since[1:]) if since else None
        timeout_ms, limit = int(request.query.get("timeout", "0")), self._timeline_limit(request)
        return web.json_response(await self._wait_for_news(context, position, timeout_ms, limit))

    def _timeline_limit(self, request: web.Request) -> int:
        """By an inline filter, as the desk sends it; filters that were uploaded are not kept."""
        inline = request.query.get("filter", "")
        asked = json.loads(inline) if inline.startswith("{") else {}
        limit = asked.get("room", {}).get("timeline", {}).get("limit", self.faults.timeline_limit)
        return min(int(limit), self.faults.timeline_limit)

    async def _wait_for_news(self, context: Context, since: int | None, timeout_ms: int, limit: int) -> Json:
        account, device = self.world.accounts[context.user_id], context.own_device
        give_up_at = asyncio.get_running_loop().time() + timeout_ms / 1000
        while True:
            account.woken.clear()
            answer = sync_answer(self.world, device, since, timeline_limit=limit)
            left_s = give_up_at - asyncio.get_running_loop().time()
            if since is None or has_news(answer) or left_s <= 0 or self.faults.sync_bodies:
                return answer
            try:
                async with asyncio.timeout(left_s):
                    await account.woken.wait()
            except TimeoutError:
                continue


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise Refused(400, "M_NOT_JSON") from None
