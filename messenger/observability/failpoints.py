"""Named crash points. `fp("name")` does nothing unless STELLWERK_FAILPOINT=name:n names it: then the process kills
itself with SIGKILL at the n-th hit, so that the crash suite can prove that no step loses, doubles or reorders a
message. With name:n:SIGSTOP it stands still there until somebody wakes it."""

import os
import signal
from collections.abc import Callable


def _armed(spec: str) -> Callable[[str], None]:
    name, _, rest = spec.partition(":")
    nth, _, blow = rest.partition(":")
    left, by = int(nth or "1"), signal.Signals[blow or "SIGKILL"]

    def hit(point: str) -> None:
        nonlocal left
        if point != name:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), by)

    return hit


def _unarmed(point: str) -> None:
    """Most processes."""


_hit: Callable[[str], None] = _unarmed


def fp(point: str) -> None:
    _hit(point)


def arm_from_environment() -> None:
    """Done at import; again by a process that was forked from one which has imported us, and has an environment of its
    own."""
    global _hit
    spec = os.environ.get("STELLWERK_FAILPOINT")
    _hit = _armed(spec) if spec else _unarmed


arm_from_environment()
