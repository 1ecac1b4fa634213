"""The versions without which nothing starts: known holes in older ones would undo the encryption or stop the desk."""

import logging
import re
from importlib.metadata import version
from typing import Any

from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable

log = logging.getLogger(__name__)

NIO = (0, 26)  # its private methods are used: exactly this series
VODOZEMAC = (0, 10)  # non-contributory Diffie-Hellman, February 2026
SYNAPSE = (1, 152, 1)  # CVE-2026-45076, GHSA-8q93-326v-3m7g


class WrongVersion(Exception):
    """A part is too old (or not the one we know); the text says which."""


async def check_versions(http: HomeserverClient) -> None:
    """Raises WrongVersion. A homeserver that does not say what it is gets the benefit of the doubt, and a warning."""
    check_libraries()
    problem = await homeserver_problem(http)
    if problem.startswith("!"):
        raise WrongVersion(problem[1:])
    if problem:
        log.warning("homeserver version", extra={"reason": problem})


def check_libraries() -> None:
    if numbers(version("matrix-nio"))[:2] != NIO:
        raise WrongVersion(f"matrix-nio {version('matrix-nio')} is installed, 0.26 is needed")
    if numbers(version("vodozemac")) < VODOZEMAC:
        raise WrongVersion(f"vodozemac {version('vodozemac')} is installed, at least 0.10 is needed")


async def homeserver_problem(http: HomeserverClient) -> str:
    """Empty: fine. With `!` in front: not acceptable. Else a remark."""
    try:
        answer: Any = await http.call("GET", "/_matrix/federation/v1/version")
        server = answer.get("server", {}) if isinstance(answer, dict) else {}
    except (MatrixError, Unreachable, ValueError):
        return "the homeserver does not tell its version"
    name, found = str(server.get("name")), str(server.get("version"))
    if name != "Synapse":
        return f"the homeserver is {name[:40]}; tested is Synapse"
    if numbers(found) < SYNAPSE:
        return f"!Synapse {found[:40]} has known holes; at least 1.152.1 is needed"
    return ""


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
