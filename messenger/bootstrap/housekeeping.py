"""What a serving desk does from time to time: timers that are due, boards, keys, the sweep of what is finished."""

import asyncio
import logging
import time
from dataclasses import asdict

from messenger.app.boards import renew_boards
from messenger.app.flood_card import renew_floods
from messenger.app.hands import Hands
from messenger.bootstrap.database import Storage
from messenger.storage.clock import QueueClock
from messenger.storage.key_upgrade import upgrade_keys
from messenger.storage.sweep import sweep
from messenger.storage.timers import fire_due
from messenger.workers.supervise import Wake

log = logging.getLogger(__name__)

TIMERS_EVERY_S, TIMERS_AT_ONCE = 1.0, 200
BOARDS_EVERY_S = 5.0
FLOODS_EVERY_S = 5.0
KEYS_EVERY_S = 5.0
FIRST_SWEEP_AFTER_S, SWEEP_EVERY_S = 600.0, 3600.0


class Housekeeping:
    """Each method is one step of a worker of its own."""

    def __init__(self, storage: Storage, hands: Hands, *, clock: QueueClock, inbox: Wake, outbox: Wake) -> None:
        self._storage, self._hands, self._inbox, self._outbox = storage, hands, inbox, outbox
        self._are_keys_upgraded = False
        self._clock = clock
        self._sweep_at = time.monotonic() + FIRST_SWEEP_AFTER_S

    async def fire_timers(self) -> None:
        """Many may be due at once: all that were paused until the morning."""
        fired = TIMERS_AT_ONCE
        while fired == TIMERS_AT_ONCE:
            fired = await fire_due(self._storage.engine, self._storage.keys, most=TIMERS_AT_ONCE)
            if fired:
                self._inbox.hint()
        await asyncio.sleep(TIMERS_EVERY_S)

    async def renew_boards(self) -> None:
        if await renew_boards(self._hands):
            self._outbox.hint()
        await asyncio.sleep(BOARDS_EVERY_S)

    async def renew_floods(self) -> None:
        if await renew_floods(self._hands):
            self._outbox.hint()
        await asyncio.sleep(FLOODS_EVERY_S)

    async def keep_keys(self) -> None:
        """Keys of an older version come under those of their persons, once; what another process has destroyed is
        forgotten, also while nobody asks for it."""
        if not self._are_keys_upgraded:
            if done := await upgrade_keys(self._storage.engine, self._storage.keys):
                log.info("keys of an older version are upgraded", extra={"count": done})
            self._are_keys_upgraded = True
        await self._storage.keys.subjects.notice_destroyed()
        if await self._clock.look():
            self._inbox.hint()
            self._outbox.hint()
        await self._sweep_now_and_then()
        await asyncio.sleep(KEYS_EVERY_S)

    async def _sweep_now_and_then(self) -> None:
        if time.monotonic() > self._sweep_at:
            swept = await sweep(self._storage.engine, self._storage.keys)
            log.info("swept", extra={"count": sum(asdict(swept).values())})
            self._sweep_at = time.monotonic() + SWEEP_EVERY_S
