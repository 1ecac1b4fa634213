"""The retention worker: once a day it orders what has lived long enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from messenger.observability.time import utc_now

log = logging.getLogger(__name__)

FIRST_AFTER_S, EVERY_S = 60.0, 86_400.0


class RetentionWorker:
    """`run` is idempotent: after a restart it may come twice a day."""

    def __init__(self, run: Callable[[datetime], Awaitable[int]]) -> None:
        self._run, self._pause_s = run, FIRST_AFTER_S

    async def step(self) -> None:
        await asyncio.sleep(self._pause_s)
        ordered = await self._run(utc_now())
        self._pause_s = EVERY_S
        if ordered:
            log.info("retention: conversations have lived long enough", extra={"count": ordered})
