"""Named crash points. `fp("name")` does nothing unless STELLWERK_FAILPOINT=name:n names it: then the process kills
itself with SIGKILL at the n-th hit, so that the crash suite can prove that no step loses, doubles or reorders a
message."""

import os
import signal
from collections.abc import Callable


def _armed(spec: str) -> Callable[[str], None]:
    name, _, nth = spec.partition(":")
    left = int(nth or "1")

    def hit(point: str) -> None:
        nonlocal left
        if point != name:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return hit


def _unarmed(point: str) -> None:
    """Most processes: a crash point costs one call."""


fp: Callable[[str], None] = _armed(spec) if (spec := os.environ.get("STELLWERK_FAILPOINT")) else _unarmed
