"""The inbox worker: handles rows until nothing is due, then waits for a hint."""

import logging

from messenger.app.handle import HandlingFailed, handle_next
from messenger.app.pace import Pace
from messenger.app.ports import InboxQueue, Units
from messenger.workers.supervise import Wake

log = logging.getLogger(__name__)

TRIES = 5


class InboxWorker:
    def __init__(self, units: Units, queue: InboxQueue, *, wake: Wake, pace: Pace | None = None) -> None:
        self._units, self._queue, self._wake, self._pace = units, queue, wake, pace
        self._is_busy = self._is_paused = False

    def pause(self) -> None:
        """Nothing new is claimed any more."""
        self._is_paused = True

    async def step(self) -> None:
        if self._is_paused:
            await self._wake.wait()
            return
        try:
            row = await handle_next(self._units, self._pace)
        except HandlingFailed as failure:
            error = type(failure.__cause__).__name__
            log.error(
                "inbox row failed",
                extra={"row_id": failure.row.id, "kind": str(failure), "error": error},
                exc_info=failure.__cause__,
            )
            await self._queue.give_back(failure.row, error, tries=TRIES)
            return
        if row is None or row.is_last:
            self._is_busy = False
            await self._wake.wait()
            return
        if self._is_busy:  # the second row in a row: there is enough for another worker
            self._wake.hint()
        self._is_busy = True
