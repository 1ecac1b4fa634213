"""Checks of the homeserver, without an account: does it answer, which software is it, is its clock ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from messenger.channels.outbound import configured_session
from messenger.cli.doctor.finding import Finding, fail, found_by, ok, warn
from messenger.matrix.versions import SERVER_VERSION, judge_homeserver

MAX_SKEW = timedelta(seconds=30)
VERSIONS = "/_matrix/client/versions"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    date: str
    where: str = ""


async def homeserver(url: str) -> Sequence[Finding]:
    try:
        answer = await ask(url + VERSIONS)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return [fail("homeserver", f"{url} does not answer ({type(error).__name__}). Is it running, is the address in "
                                   f"matrix.homeserver right, and may this machine reach it?")]  # fmt: skip
    if answer.where:
        return [fail("homeserver", f"{url} sends us on to another address, which is not followed: the desk's token "
                                   f"would go along. Put the last address into matrix.homeserver")]  # fmt: skip
    if answer.status != 200 or not isinstance(answer.body, dict) or "versions" not in answer.body:
        return [fail("homeserver", f"{url} answers, but not as a Matrix homeserver (status {answer.status}). "
                                   f"matrix.homeserver must be the address of the client-server API")]  # fmt: skip
    return [ok("homeserver", f"{url} answers"), await _software(url), _clock(answer.date)]


async def ask(url: str) -> Answer:
    timeout = aiohttp.ClientTimeout(total=10)
    async with configured_session() as session, session.get(url, timeout=timeout, allow_redirects=False) as response:
        body = await response.json(content_type=None) if response.status == 200 else None
        return Answer(response.status, body, response.headers.get("Date", ""), response.headers.get("Location", ""))


async def _software(url: str) -> Finding:
    try:
        body = (await ask(url + SERVER_VERSION)).body
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        body = None
    return found_by(judge_homeserver(body))


def _clock(date: str, now: datetime | None = None) -> Finding:
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return warn("clock", "the homeserver tells no time, so the clocks could not be compared")
    skew = abs((now or datetime.now(UTC)) - theirs)
    if skew > MAX_SKEW:
        return fail("clock", f"this machine and the homeserver differ by {skew.total_seconds():.0f} s. "
                             f"Let both keep time with NTP")  # fmt: skip
    return ok("clock", f"differs from the homeserver's by {skew.total_seconds():.0f} s at most")
