"""One line of a check-up, and the runner that lets no check fail another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from messenger.cli.words import words_of
from messenger.matrix.versions import Fit, Verdict

Level = Literal["ok", "warn", "fail"]
Check = Callable[[], Awaitable[Sequence["Finding"]]]
TIMEOUT_S = 15.0
_LEVELS: dict[Fit, Level] = {Fit.FITS: "ok", Fit.UNTRIED: "warn", Fit.WRONG: "fail"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`words` say what is so and, unless all is well, who has to do what."""

    level: Level
    check: str
    words: str


def ok(check: str, words: str) -> Finding:
    return Finding(level="ok", check=check, words=words)


def warn(check: str, words: str) -> Finding:
    return Finding(level="warn", check=check, words=words)


def fail(check: str, words: str) -> Finding:
    return Finding(level="fail", check=check, words=words)


def found_by(verdict: Verdict) -> Finding:
    return Finding(level=_LEVELS[verdict.fit], check=verdict.part, words=verdict.words)


async def run_checks(checks: dict[str, Check], *, timeout_s: float = TIMEOUT_S) -> list[Finding]:
    """All checks at the same time; the findings in the order of the checks."""
    results = await asyncio.gather(*(_isolated(name, check, timeout_s) for name, check in checks.items()))
    return [finding for findings in results for finding in findings]


async def _isolated(name: str, check: Check, timeout_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(timeout_s):
            return await check()
    except TimeoutError:
        return [fail(name, f"no answer within {timeout_s:.0f} s. Is it overloaded, or is a firewall in between?")]
    except Exception as error:  # noqa: BLE001 - one broken thing must not hide the others
        return [fail(name, words_of(error))]
