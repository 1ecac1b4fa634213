"""The versions without which nothing starts: known holes in older ones would undo the encryption or stop the desk.

The one place of these limits: `serve` and `recover-desk` refuse by them, `doctor` tells them."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from importlib.metadata import PackageNotFoundError, version
from typing import Any

NIO = (0, 26)  # its private methods are used: exactly this series
VODOZEMAC = (0, 10)  # non-contributory Diffie-Hellman, February 2026
SYNAPSE = (1, 152, 1)  # CVE-2026-45076, GHSA-8q93-326v-3m7g
SERVER_VERSION = "/_matrix/federation/v1/version"


class Fit(Enum):
    FITS = auto()
    UNTRIED = auto()
    """It may work; nobody has seen it."""
    WRONG = auto()
    """Nothing may start with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`words` say what is there and, unless all is well, who has to do what."""

    part: str
    fit: Fit
    words: str


def judge_libraries() -> list[Verdict]:
    """Of what is installed with us."""
    return [judge_vodozemac(_installed("vodozemac")), judge_nio(_installed("matrix-nio"))]


def judge_vodozemac(found: str | None) -> Verdict:
    """None: not installed. What cannot be read as a version is as good as too old."""
    if found is None:
        words = f"not installed: install Stellwerk again, with vodozemac {_dotted(VODOZEMAC)} or later"
    elif _numbers(found) < VODOZEMAC:
        words = f"{found} is too old for safe encryption: upgrade to {_dotted(VODOZEMAC)} or later"
    else:
        return Verdict(part="vodozemac", fit=Fit.FITS, words=found)
    return Verdict(part="vodozemac", fit=Fit.WRONG, words=words)


def judge_nio(found: str | None) -> Verdict:
    if found is not None and _numbers(found)[: len(NIO)] == NIO:
        return Verdict(part="matrix-nio", fit=Fit.FITS, words=found)
    words = f"{found or 'nothing'} is there, {_dotted(NIO)}.x is needed: install Stellwerk again"
    return Verdict(part="matrix-nio", fit=Fit.WRONG, words=words)


def judge_homeserver(answer: Any) -> Verdict:
    """By its answer at `SERVER_VERSION`, whatever JSON that is. Who does not tell gets the benefit of the doubt: a
    proxy may keep that address to itself."""
    name, found = _named(answer)
    numbers = _numbers(found)
    if name and name.lower() != "synapse":
        words, fit = f"{name} {found}: Stellwerk is tested with Synapse only", Fit.UNTRIED
    elif not name or not numbers:
        words = f"cannot be read at {SERVER_VERSION}. Make sure that it is Synapse {_dotted(SYNAPSE)} or later"
        fit = Fit.UNTRIED
    elif numbers < SYNAPSE:
        words, fit = f"Synapse {found} has known holes: upgrade to {_dotted(SYNAPSE)} or later", Fit.WRONG
    else:
        words, fit = f"Synapse {found}", Fit.FITS
    return Verdict(part="homeserver version", fit=fit, words=words)


def _named(answer: Any) -> tuple[str, str]:
    """Name and version, or nothing."""
    server = answer.get("server") if isinstance(answer, dict) else None
    if not isinstance(server, dict):
        return "", ""
    return str(server.get("name") or "")[:40], str(server.get("version") or "")[:40]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers: of `1.152rc1 (b=main)` these are 1 and 152. Empty if it begins with anything else."""
    leading = re.match(r"\d{1,9}(\.\d{1,9})*", text)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
