"""The erasure worker: takes the next step of some erasure. One that has to wait stops no other."""

import asyncio
import logging
from typing import Protocol

from messenger.app.erasure import take_step
from messenger.app.erasure_ports import Erasure, ErasureHands, NotNow
from messenger.app.ports import StorageAway
from messenger.channels.errors import LeaseLost
from messenger.observability.time import utc_now

log = logging.getLogger(__name__)

POLL_S = 1.0


class ErasureQueue(Protocol):
    async def next_due(self) -> Erasure | None: ...

    async def postpone(self, which: Erasure, code: str, seconds: float) -> None: ...


class ErasureWorker:
    def __init__(self, queue: ErasureQueue, hands: ErasureHands) -> None:
        self._queue, self._hands = queue, hands

    async def step(self) -> None:
        erasure = await self._queue.next_due()
        if erasure is None:
            return await asyncio.sleep(POLL_S)
        await self.take(erasure)

    async def take(self, erasure: Erasure) -> None:
        try:
            following = await take_step(self._hands, erasure, utc_now())
        except (LeaseLost, StorageAway):
            raise
        except NotNow as wait:
            log.info("erasure waits", extra={"row_id": str(erasure.id), "step": erasure.step, "code": wait.code})
            await self._queue.postpone(erasure, wait.code, wait.seconds)
        except Exception as error:  # ours: the next try may find what this one did not, and others go on
            log.error(
                "erasure failed",
                extra={"row_id": str(erasure.id), "step": erasure.step, "error": type(error).__name__},
                exc_info=True,
            )
            await self._queue.postpone(erasure, type(error).__name__, 2.0 ** min(erasure.failures, 8))
        else:
            if following is None:
                log.info("erasure done", extra={"row_id": str(erasure.id), "kind": erasure.scope})
