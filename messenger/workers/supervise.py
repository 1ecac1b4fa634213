"""The one way to run something for ever: a step is repeated; an error is logged once with its kind, then tried again
after a growing pause. What must end the process does so: a lost lease, and cancellation."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from messenger.channels.errors import LeaseLost

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 30.0


async def for_ever(
    name: str, step: Callable[[], Awaitable[object]], *, pause_s: float = 0.5, longest_pause_s: float = LONGEST_PAUSE_S
) -> None:
    """Raises LeaseLost. A step that keeps failing in the same way is logged at its first failure and when it works
    again. Whoever asks for a pause of a certain length (`retry_after`, of a 429) is left alone for so long."""
    failing, pause = "", pause_s
    while True:
        try:
            await step()
        except LeaseLost:
            log.error("lease lost: another process is the desk now", extra={"worker": name})
            raise
        except Exception as error:  # the supervised edge: everything else would end silently
            if type(error).__name__ != failing:
                log.error(
                    "worker failed, will try again",
                    extra={"worker": name, "error": type(error).__name__},
                    exc_info=True,
                )
            failing, pause = type(error).__name__, min(pause * 2, longest_pause_s)
            await asyncio.sleep(_wanted_s(error) or pause)
        else:
            if failing:
                log.info("worker works again", extra={"worker": name})
            failing, pause = "", pause_s


def _wanted_s(error: Exception) -> float:
    wanted = getattr(error, "retry_after", None)
    return wanted.total_seconds() if isinstance(wanted, timedelta) else 0.0


class Wake:
    """A hint that there is something to do. One hint wakes one worker; with nobody waiting it is kept for the next.
    Polling is the truth; a missed hint costs one poll."""

    def __init__(self, poll_s: float = 0.5) -> None:
        self._hints, self._poll_s = asyncio.Queue[None](maxsize=1), poll_s

    def hint(self) -> None:
        if not self._hints.full():
            self._hints.put_nowait(None)

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._hints.get()
