"""A proxy in front of a homeserver that misbehaves on request: it throttles, fails, cuts the line."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from messenger.demo.synapse import Registered, Synapse

HOP = frozenset({"transfer-encoding", "content-length", "connection", "content-encoding", "host"})
Fault = Callable[[web.Request], web.StreamResponse | None]


@dataclass
class Rule:
    """Fits the next `left` requests whose method and path match; `act` gives the answer, or None to cut the line.
    `after` acts only when the homeserver has done what was asked."""

    pattern: re.Pattern[str]
    left: int
    act: Fault
    after: bool = False
    hits: int = 0


@dataclass
class Proxy:
    """Looks like a Synapse to whoever installs the product on it."""

    synapse: Synapse
    rules: list[Rule] = field(default_factory=list)
    url: str = ""

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=200_000_000)
        app.router.add_route("*", "/{tail:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def register(self, name: str, password: str | None = None, *, displayname: str | None = None) -> Registered:
        return await self.synapse.register(name, password, displayname=displayname)

    def throttle(self, pattern: str, *, times: int, wait_ms: int) -> Rule:
        body = {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": wait_ms}
        return self._rule(pattern, times, lambda request: web.json_response(body, status=429))

    def fail(self, pattern: str, *, times: int, status: int = 502) -> Rule:
        return self._rule(pattern, times, lambda request: web.Response(text="<html>Bad Gateway</html>", status=status))

    def cut(self, pattern: str, *, times: int, after: bool = False) -> Rule:
        return self._rule(pattern, times, lambda request: None, after=after)

    def _rule(self, pattern: str, times: int, act: Fault, *, after: bool = False) -> Rule:
        self.rules.append(Rule(re.compile(pattern), times, act, after))
        return self.rules[-1]

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} {request.path}"
        rule = next((each for each in self.rules if each.left > 0 and each.pattern.search(asked)), None)
        if rule is not None:
            rule.left, rule.hits = rule.left - 1, rule.hits + 1
            if rule.after:
                await self._forward(request)
            return rule.act(request) or _cut(request)
        return await self._forward(request)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        try:
            async with self._session.request(
                request.method,
                self.synapse.url + request.raw_path,
                data=await request.read(),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=90),
            ) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError):
            return web.Response(status=502)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        return web.Response(body=body, status=answer.status, headers=kept)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
