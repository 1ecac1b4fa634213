"""The client-server API as plain calls: every answer but 200 is an exception, nothing is retried or slept away here."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp

from messenger.observability import metrics
from messenger.observability.endpoints import NO_ANSWER, endpoint_of

CLIENT = "/_matrix/client/v3"
CLIENT_V1 = "/_matrix/client/v1"
MAX_JSON_BYTES = 64 * 1024 * 1024
# A line that is dead at one end only says nothing, for ever. A slow one still says something.
SILENCE_S = 30.0
CONNECT_S = 10.0
LONGEST_S = 600.0
LONGEST_TRANSFER_S = 120.0


class MatrixError(Exception):
    """The homeserver refused a call. `status` is HTTP's, `errcode` the Matrix code (client-server API, "Standard error
    response"). `retry_after` is set for 429. The message holds no request body and no token."""

    def __init__(self, status: int, errcode: str, *, retry_after: timedelta | None = None, body: Any = None) -> None:
        super().__init__(f"{status} {errcode}")
        self.status, self.errcode, self.retry_after, self.body = status, errcode, retry_after, body


class Unreachable(Exception):
    """No complete answer came: connection refused, cut or timed out. What was asked may or may not have happened."""


class AnswerTooLarge(ValueError):
    """The answer has more bytes than we are willing to hold."""


def path(*segments: str) -> str:
    """Joins URL path segments, each percent-encoded as a whole (event ids hold `$`, `/` and `+`)."""
    return "/".join(quote(segment, safe="") for segment in segments)


class HomeserverClient:
    """One account's connection to its homeserver. The access token can be set after login."""

    def __init__(self, base_url: str, *, token: str = "", silence_s: float = SILENCE_S) -> None:
        self.base_url, self.token, self._silence_s = base_url.rstrip("/"), token, silence_s
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        silence_s: float | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """`url` is a path below the homeserver. Returns the decoded JSON of a 200. After `silence_s` without a byte
        there is no answer, however much of it has come. Raises MatrixError, Unreachable or AnswerTooLarge."""
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        patience = self._patience(silence_s or self._silence_s, LONGEST_S)
        status, raw = await self._exchange(method, url, data, "application/json", patience, query, MAX_JSON_BYTES)
        return _decoded(status, raw)

    async def upload(self, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        """Stores bytes in the media repository; returns their `mxc://` address."""
        status, raw = await self._exchange(
            "POST", "/_matrix/media/v3/upload", data, content_type, self._transfer(), None, MAX_JSON_BYTES
        )
        return str(_decoded(status, raw)["content_uri"])

    async def download(self, mxc: str, *, max_bytes: int) -> bytes:
        """Authenticated media (spec v1.11). Raises AnswerTooLarge for a body over `max_bytes`, ValueError for a bad
        address."""
        server, _, media_id = mxc.removeprefix("mxc://").partition("/")
        if not mxc.startswith("mxc://") or not server or not media_id:
            raise ValueError("not an mxc:// address")
        url = f"{CLIENT_V1}/media/download/" + path(server, media_id)
        status, raw = await self._exchange("GET", url, None, "", self._transfer(), None, max_bytes)
        if status != 200:
            _decoded(status, raw)
        return raw

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _transfer(self) -> aiohttp.ClientTimeout:
        """Of a file. The homeserver may ask another one for it first, and is silent meanwhile."""
        return self._patience(LONGEST_TRANSFER_S, LONGEST_TRANSFER_S)

    def _patience(self, silence_s: float, longest_s: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=longest_s, sock_connect=min(CONNECT_S, silence_s), sock_read=silence_s)

    async def _exchange(
        self,
        method: str,
        url: str,
        data: bytes | None,
        content_type: str,
        patience: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None,
        max_bytes: int,
    ) -> tuple[int, bytes]:
        if self._session is None:
            # No limit of connections: lanes wait for each other in the outbox, never for a free socket behind the long
            # poll.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=True)
        headers = {"Content-Type": content_type} if content_type else {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        try:
            async with self._session.request(
                method, self.base_url + url, data=data, headers=headers, timeout=patience, params=query
            ) as answer:
                raw = await _read_at_most(answer, max_bytes)
                _count(url, str(answer.status))
                return answer.status, raw
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _count(url, NO_ANSWER)
            raise Unreachable(type(error).__name__) from error


def _count(url: str, code: str) -> None:
    metrics.REQUESTS.of(endpoint=endpoint_of(url), code=code).inc()


async def _read_at_most(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    parts, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise AnswerTooLarge(f"answer is larger than {max_bytes} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _decoded(status: int, raw: bytes) -> Any:
    """A 200 that is broken off, or is some proxy's page, says nothing about what was asked: it may have happened."""
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        body = None
    if status == 200:
        if body is None:
            raise Unreachable("the answer is no JSON")
        return body
    details = body if isinstance(body, dict) else {}
    wait_ms = details.get("retry_after_ms")
    wait = timedelta(milliseconds=wait_ms) if isinstance(wait_ms, (int, float)) else None
    raise MatrixError(status, str(details.get("errcode", "M_UNKNOWN")), retry_after=wait, body=details)
