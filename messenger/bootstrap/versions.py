"""Nothing starts on versions with known holes (`matrix/versions.py` says which)."""

import logging
from typing import Any

from messenger.matrix.http import HomeserverClient, MatrixError, Unreachable
from messenger.matrix.versions import SERVER_VERSION, Fit, Verdict, judge_homeserver, judge_libraries

log = logging.getLogger(__name__)


class WrongVersion(Exception):
    """A part is too old (or not the one we know); the text says which, and what to do."""


async def check_versions(http: HomeserverClient) -> None:
    """Raises WrongVersion. A homeserver that nobody has tried, or that does not tell, is a warning."""
    for verdict in [*judge_libraries(), await _homeserver(http)]:
        if verdict.fit is Fit.WRONG:
            raise WrongVersion(f"{verdict.part}: {verdict.words}")
        if verdict.fit is Fit.UNTRIED:
            log.warning("nobody has tried this version", extra={"kind": verdict.part, "reason": verdict.words})


async def _homeserver(http: HomeserverClient) -> Verdict:
    try:
        answer: Any = await http.call("GET", SERVER_VERSION)
    except (MatrixError, Unreachable, ValueError):
        answer = None
    return judge_homeserver(answer)
