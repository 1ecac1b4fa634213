"""What a process with keys in its memory does for them: no image of it is ever written to a disk. Swapping is the
machine's affair (see the manual), and Python cannot wipe what it has forgotten."""

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def no_core_dumps() -> None:
    """No core file, whatever kills us; on Linux no other process of the same user may read our memory either."""
    with contextlib.suppress(OSError, ValueError):  # a limit that is lower already
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
