"""Checks of the homeserver, without an account: does it answer, which software is it, is its clock ours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from messenger.channels.outbound import configured_session
from messenger.cli.doctor.finding import Finding, fail, ok, warn

# Earlier ones have known holes (CVE-2026-45076).
SYNAPSE_AT_LEAST = (1, 152, 1)
MAX_SKEW = timedelta(seconds=30)
VERSIONS = "/_matrix/client/versions"
SERVER_VERSION = "/_matrix/federation/v1/version"


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
    return [ok("homeserver", f"{url} answers"), *await _software(url), _clock(answer.date)]


async def ask(url: str) -> Answer:
    timeout = aiohttp.ClientTimeout(total=10)
    async with configured_session() as session, session.get(url, timeout=timeout, allow_redirects=False) as response:
        body = await response.json(content_type=None) if response.status == 200 else None
        return Answer(response.status, body, response.headers.get("Date", ""), response.headers.get("Location", ""))


async def _software(url: str) -> list[Finding]:
    try:
        body = (await ask(url + SERVER_VERSION)).body
        server = body["server"]
        name, version = str(server["name"]), str(server["version"])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, KeyError):
        return [warn("homeserver version", f"cannot be read at {url}{SERVER_VERSION}. Make sure that it is "
                                           f"Synapse {_dotted(SYNAPSE_AT_LEAST)} or later")]  # fmt: skip
    return [judge_version(name, version)]


def judge_version(name: str, version: str) -> Finding:
    """Other software may work, but nobody has tried it with us."""
    if name.lower() != "synapse":
        return warn("homeserver version", f"{name} {version}: Stellwerk is tested with Synapse only")
    if _numbers(version) < SYNAPSE_AT_LEAST:
        words = f"Synapse {version} is too old: upgrade to {_dotted(SYNAPSE_AT_LEAST)} or later"
        return fail("homeserver version", words)
    return ok("homeserver version", f"Synapse {version}")


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


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0].split("rc")[0])[:3])


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
