"""The installation's virus scanner, and who notices that it is back."""

import asyncio

from messenger.config import Settings
from messenger.observability import metrics
from messenger.scanner import Clamd
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.supervise import Wake

LOOK_EVERY_S = 5.0


def scanner_of(settings: Settings) -> Clamd | None:
    """None: there is none."""
    scanner = settings.scanner
    return Clamd(scanner.clamd, scan_s=scanner.scan_seconds) if scanner.clamd else None


class ScannerWatch:
    """While the scanner is away it is asked again and again; when it answers, the files that wait are due at once."""

    def __init__(self, scanner: Clamd, queue: SqlOutboxQueue, wake: Wake) -> None:
        self._scanner, self._queue, self._wake = scanner, queue, wake

    async def step(self) -> None:
        metrics.SCANNER_AWAY.of().set(self._scanner.is_away)
        await asyncio.sleep(LOOK_EVERY_S)
        if self._scanner.is_away and await self._scanner.is_back():
            await self._queue.hurry()
            self._wake.hint()
