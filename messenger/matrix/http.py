"""The client-server API as plain calls: every answer but 200 is an exception, nothing is retried or slept away here."""

import json
import logging
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp

from messenger.channels.outbound import (
    Outlets,
    Refused,
    SafeClient,
    Session,
    TooLarge,
    Unanswered,
    configured_session,
    joined,
    origin_of,
)
from messenger.observability import metrics
from messenger.observability.endpoints import NO_ANSWER, endpoint_of

log = logging.getLogger(__name__)

CLIENT = "/_matrix/client/v3"
CLIENT_V1 = "/_matrix/client/v1"
MAX_JSON_BYTES = 64 * 1024 * 1024
# A line that is dead at one end only says nothing, for ever. A slow one still says something.
SILENCE_S = 30.0
CONNECT_S = 10.0
LONGEST_S = 600.0
LONGEST_TRANSFER_S = 120.0
# Of media only; spec v1.11, "Content repository": a file may lie with a content delivery network.
ELSEWHERE = frozenset({307, 308})
LONGEST_WAIT_MS = 3_600_000
PAUSE = timedelta(seconds=5)  # of a homeserver that only says "too often"
MAX_ERRCODE = 100


class MatrixError(Exception):
    """The homeserver refused a call. `status` is HTTP's, `errcode` the Matrix code (client-server API, "Standard error
    response"). `retry_after` is set for 429. The message holds no request body and no token."""

    def __init__(self, status: int, errcode: str, *, retry_after: timedelta | None = None, body: Any = None) -> None:
        super().__init__(f"{status} {errcode}")
        self.status, self.errcode, self.retry_after, self.body = status, errcode, retry_after, body

    @property
    def is_throttled(self) -> bool:
        return self.status == 429

    @property
    def pause(self) -> timedelta:
        """Of one that is throttled: how long to be quiet."""
        return self.retry_after or PAUSE


class Unreachable(Exception):
    """No complete answer came: connection refused, cut or timed out. What was asked may or may not have happened."""


class AnswerTooLarge(ValueError):
    """The answer has more bytes than we are willing to hold."""


def path(*segments: str) -> str:
    """Joins URL path segments, each percent-encoded as a whole (event ids hold `$`, `/` and `+`)."""
    return "/".join(quote(segment, safe="") for segment in segments)


class HomeserverClient:
    """One account's connection to its homeserver. The access token can be set after login. The homeserver's address is
    configured; where it sends us for a file is not, and lies within `outlets`."""

    def __init__(
        self, base_url: str, *, token: str = "", silence_s: float = SILENCE_S, outlets: Outlets | None = None
    ) -> None:
        self.base_url, self.token, self._silence_s = base_url.rstrip("/"), token, silence_s
        self._session: Session | None = None
        self._elsewhere = SafeClient((outlets or Outlets()).and_internal(origin_of(self.base_url)))

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
        status, raw, _ = await self._exchange(method, url, data, "application/json", patience, query, MAX_JSON_BYTES)
        return _decoded(status, raw)

    async def upload(self, data: bytes, *, content_type: str = "application/octet-stream") -> str:
        """Stores bytes in the media repository; returns their `mxc://` address."""
        status, raw, _ = await self._exchange(
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
        status, raw, where = await self._exchange("GET", url, None, "", self._transfer(), None, max_bytes)
        if status in ELSEWHERE and where:
            return await self._download_elsewhere(self.base_url + url, where, max_bytes)
        if status != 200:
            _decoded(status, raw)
        return raw

    async def _download_elsewhere(self, base: str, where: str, max_bytes: int) -> bytes:
        """Without our token: whoever serves the file there needs none. What cannot be had there counts as a file that
        another server does not give."""
        try:
            answer = await self._elsewhere.request(
                "GET", joined(base, where), max_bytes=max_bytes, timeout_s=LONGEST_TRANSFER_S
            )
        except TooLarge:
            raise AnswerTooLarge(f"answer is larger than {max_bytes} bytes") from None
        except (Refused, Unanswered) as error:
            log.warning("media lies where it is not fetched from", extra={"code": str(error)})
            raise _not_given(str(error)) from error
        if answer.status != 200:
            raise _not_given(str(answer.status))
        return answer.body

    async def close(self) -> None:
        await self._elsewhere.close()
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
    ) -> tuple[int, bytes, str]:
        """Status, body, and where a redirect points to. It is not followed: the token would go along."""
        if self._session is None:
            self._session = configured_session()
        headers = {"Content-Type": content_type} if content_type else {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        try:
            async with self._session.request(
                method,
                self.base_url + url,
                data=data,
                headers=headers,
                timeout=patience,
                params=query,
                allow_redirects=False,
            ) as answer:
                raw = await _read_at_most(answer, max_bytes)
                _count(url, str(answer.status))
                return answer.status, raw, answer.headers.get("Location", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _count(url, NO_ANSWER)
            raise Unreachable(type(error).__name__) from error


def _count(url: str, code: str) -> None:
    metrics.REQUESTS.of(endpoint=endpoint_of(url), code=code).inc()


def _not_given(code: str) -> MatrixError:
    return MatrixError(502, "NET_STELLWERK_ELSEWHERE", body={"errcode": "NET_STELLWERK_ELSEWHERE", "error": code})


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
    except (ValueError, RecursionError):
        body = None
    if status == 200:
        if body is None:
            raise Unreachable("the answer is no JSON")
        return body
    details = body if isinstance(body, dict) else {}
    wait = _wait(details.get("retry_after_ms"))
    raise MatrixError(status, _errcode(details.get("errcode")), retry_after=wait, body=details)


def _errcode(found: Any) -> str:
    """It is logged and shown, so it must be a word."""
    return found if isinstance(found, str) and found.isprintable() and 0 < len(found) <= MAX_ERRCODE else "M_UNKNOWN"


def _wait(milliseconds: Any) -> timedelta | None:
    """JSON has numbers beyond every calendar. Whoever asks for more than an hour is asked again then."""
    if type(milliseconds) not in (int, float) or not 0 <= milliseconds < math.inf:
        return None
    return timedelta(milliseconds=min(milliseconds, LONGEST_WAIT_MS))
