"""How the fake homeserver misbehaves: rules that fit requests, each for a number of times."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FOR_EVER = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class Rule:
    """`act` gets the request and the ordinary handler; what it returns is the answer."""

    pattern: re.Pattern[str]
    method: str
    left: int
    act: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

    def fits(self, request: web.Request) -> bool:
        return self.left > 0 and self.method in ("", request.method) and bool(self.pattern.search(request.path))


class Faults:
    """Paths are regular expressions searched in the decoded path. Rules are tried in the order they were made."""

    def __init__(self) -> None:
        self.sync_bodies: deque[bytes] = deque()
        self.timeline_limit = 100
        self._rules: list[Rule] = []

    def clear(self) -> None:
        self._rules.clear()
        self.sync_bodies.clear()

    def rule(self, path: str, act: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]], *, times: int = 1,
             method: str = "") -> Rule:  # fmt: skip
        made = Rule(pattern=re.compile(path), method=method, left=times, act=act)
        self._rules.append(made)
        return made

    def prefer(self, rule: Rule) -> None:
        """It is tried before those that were made earlier."""
        self._rules.remove(rule)
        self._rules.insert(0, rule)

    def fail(
        self, path: str, *, status: int = 503, errcode: str = "M_UNKNOWN", times: int = 1, method: str = ""
    ) -> Rule:
        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            return web.json_response({"errcode": errcode, "error": "on command"}, status=status)

        return self.rule(path, act, times=times, method=method)

    def limit(self, path: str, *, retry_after_ms: int = 100, times: int = 1, method: str = "") -> Rule:
        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            body = {"errcode": "M_LIMIT_EXCEEDED", "error": "on command", "retry_after_ms": retry_after_ms}
            return web.json_response(body, status=429)

        return self.rule(path, act, times=times, method=method)

    def delay(self, path: str, seconds: float, *, times: int = FOR_EVER, method: str = "") -> Rule:
        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return await handler(request)

        return self.rule(path, act, times=times, method=method)

    def cut_before(self, path: str, *, times: int = 1, method: str = "") -> Rule:
        """The connection is gone and nothing has happened."""

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            return cut(request)

        return self.rule(path, act, times=times, method=method)

    def cut_after(self, path: str, *, times: int = 1, method: str = "") -> Rule:
        """It has happened, and the answer is lost."""

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            await handler(request)
            return cut(request)

        return self.rule(path, act, times=times, method=method)

    def cut_inside(self, path: str, *, times: int = 1, method: str = "") -> Rule:
        """It has happened, and half of the answer arrives."""

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            whole = await handler(request)
            body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"{}"
            answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
            await answer.prepare(request)
            await answer.write(body[: len(body) // 2])
            return cut(request)

        return self.rule(path, act, times=times, method=method)

    def drop_to_device(self, *, times: int = FOR_EVER) -> Rule:
        """Says 200 and delivers nothing."""

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            return web.json_response({})

        return self.rule("/sendToDevice/", act, times=times, method="PUT")

    def answer_with(self, path: str, body: object, *, status: int = 200, times: int = 1, method: str = "") -> Rule:
        """Any JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
            return web.Response(body=data, status=status, content_type="application/json")

        return self.rule(path, act, times=times, method=method)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        for rule in self._rules:
            if rule.fits(request):
                rule.left -= 1
                return await rule.act(request, handler)
        return await handler(request)


def cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
