"""The client for addresses that somebody gives us: a webhook's, a redirect's, one in a message. Nobody can make the
program look into its own network with it."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import aiohttp

from messenger.channels.outbound.errors import Refused, TooLarge, Unanswered
from messenger.channels.outbound.session import (
    Lookup,
    OpenSocket,
    Session,
    guarded_session,
    internal_session,
    plain_socket,
    system_lookup,
)
from messenger.channels.outbound.targets import Outlets, Target, joined, target

MAX_BYTES = 25_000_000
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What is asked again, at the next address, without a body (RFC 9110, 15.4).
_AS_GET = frozenset({301, 302, 303})
# What another host may know. Whatever else was to be sent was meant for the first.
_FOR_EVERYBODY = frozenset({"accept", "accept-language", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`type` is the media type in small letters, without parameters. `headers` have small names."""

    status: int
    type: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    accept: Collection[str]
    max_bytes: int


class SafeClient:
    """Goes to public addresses by the ways of `outlets`, and to the operator's own systems. `lookup` and `open_socket`
    are for those who test it."""

    def __init__(
        self,
        outlets: Outlets | None = None,
        *,
        lookup: Lookup = system_lookup,
        open_socket: OpenSocket = plain_socket,
    ) -> None:
        self._outlets, self._lookup, self._open_socket = outlets or Outlets(), lookup, open_socket
        self._sessions: dict[bool, Session] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accept: Collection[str] = (),
        max_bytes: int = MAX_BYTES,
        timeout_s: float = TIMEOUT_S,
        max_redirects: int = MAX_REDIRECTS,
    ) -> Answer:
        """Whatever the status is, it is an answer. `accept` are the media types of a 200 that are taken (`image/png`,
        `image/*`), empty for any. `timeout_s` is for everything together. With another host, neither `headers` nor
        `body` go along. Raises Refused, Unanswered and TooLarge; nothing is tried again."""
        asked = _Asked(method=method, headers=headers or {}, body=body, accept=accept, max_bytes=max_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(target(url, self._outlets), asked, max_redirects)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(type(error).__name__) from error

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _follow(self, there: Target, asked: _Asked, most: int) -> Answer:
        for _ in range(most + 1):
            answer = await self._ask(there, asked)
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                return answer
            there, asked = self._redirected(there, asked, answer)
        raise Refused("redirect")

    def _redirected(self, there: Target, asked: _Asked, answer: Answer) -> tuple[Target, _Asked]:
        following = target(joined(str(there.url), answer.headers["location"]), self._outlets)
        is_same = following.origin == there.origin
        headers = {name: value for name, value in asked.headers.items() if is_same or name.lower() in _FOR_EVERYBODY}
        is_get = answer.status in _AS_GET and asked.method not in ("GET", "HEAD")
        body = None if is_get else asked.body
        if body is not None and not is_same:
            raise Refused("redirect")
        method = "GET" if is_get else asked.method
        return following, _Asked(
            method=method, headers=headers, body=body, accept=asked.accept, max_bytes=asked.max_bytes
        )

    async def _ask(self, there: Target, asked: _Asked) -> Answer:
        headers = {**asked.headers, "Accept-Encoding": "identity"}
        async with self._session(there).request(
            asked.method, there.url, headers=headers, data=asked.body, allow_redirects=False
        ) as answer:
            if answer.status in REDIRECTS:
                return Answer(status=answer.status, type="", body=b"", headers=_headers(answer))
            type = answer.content_type.lower() if "Content-Type" in answer.headers else ""
            if answer.status == 200 and asked.accept and not _is_one_of(type, asked.accept):
                raise Refused("type")
            # A small packed answer may be a very large one.
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise Refused("encoding")
            body = await _read(answer, asked.max_bytes)
            return Answer(status=answer.status, type=type, body=body, headers=_headers(answer))

    def _session(self, there: Target) -> Session:
        if there.is_internal not in self._sessions:
            made = internal_session() if there.is_internal else guarded_session(self._lookup, self._open_socket)
            self._sessions[there.is_internal] = made
        return self._sessions[there.is_internal]


def _headers(answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _is_one_of(type: str, accepted: Collection[str]) -> bool:
    return any(type == each or (each.endswith("/*") and type.startswith(each[:-1])) for each in accepted)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if (answer.content_length or 0) > max_bytes:
        raise TooLarge
    parts, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge
        parts.append(chunk)
    return b"".join(parts)
