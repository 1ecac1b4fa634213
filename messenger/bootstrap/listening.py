"""The line to the homeserver: one /sync after the other, and what each answer means for everything else."""

import asyncio
import time
from collections.abc import Callable

from messenger.bootstrap.identity_care import IdentityCare
from messenger.bootstrap.marks import DeskMarks
from messenger.matrix.http import MatrixError
from messenger.matrix.sync import LONG_POLL_MS, SyncLoop
from messenger.storage.outbox_queue import SqlOutboxQueue

MARK_EVERY_S = 60.0
LONGEST_SILENCE_S = 60.0  # a long poll answers every 20 seconds, whether there is news or not


class Listening:
    """`begin` is called when the first answer is in: nothing is sent before. Who came and went while nobody listened
    is known then, and a key goes to nobody who has left and to everybody who has come."""

    def __init__(
        self,
        sync: SyncLoop,
        queue: SqlOutboxQueue,
        marks: DeskMarks,
        care: IdentityCare,
        *,
        begin: Callable[[], None],
    ) -> None:
        self.sync, self._queue, self._marks, self._care, self._begin = sync, queue, marks, care, begin
        self._has_heard, self._is_cut_off = False, False

    async def step(self) -> None:
        """Every answer after a failure says that the homeserver is back: nothing waits any longer for it. One that asks
        for a pause is there."""
        try:
            await self.sync.once(timeout_ms=LONG_POLL_MS if self._has_heard else 0)
        except Exception as error:
            self._is_cut_off = self._is_cut_off or not (isinstance(error, MatrixError) and error.is_throttled)
            raise
        if not self._has_heard and not self.sync.is_behind:
            self._has_heard = True
            self._begin()
        await self._queue.hear()
        if self._is_cut_off:
            await self._marks.step()  # it may be another homeserver than the one that went away
            await self._queue.hurry()
            self._is_cut_off = False
        await self._care.save_new_keys()

    async def code(self) -> str:
        """What is wrong with the line, as a code."""
        if self._is_cut_off:
            return "cut_off"
        return "silent" if time.monotonic() - self.sync.heard_at > LONGEST_SILENCE_S else ""

    async def mark(self) -> None:
        await asyncio.sleep(MARK_EVERY_S)
        await self._marks.step()
