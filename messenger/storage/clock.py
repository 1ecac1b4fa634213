"""The database's clock is the one that says what is due in the queues. When it is set back, what waits for a few
seconds would wait for so much longer: a look at a clock that goes on evenly tells, and the rows are moved along.

Set forward, it makes due early what waits, and delays nothing. What people have set a time for goes by the clock as it
is now."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once, transaction
from messenger.storage.timers import KEY_TIMER

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=3)  # less is the drift of a clock that is being corrected, or a slow answer
_SET_BACK = (
    """UPDATE outbox SET next_at = least(next_at, greatest(next_at - CAST(:by AS interval), now())),
      claimed_until = claimed_until - CAST(:by AS interval)
    WHERE state IN ('new', 'claimed', 'unknown') AND (next_at > now() OR claimed_until > now())""",
    """UPDATE inbox SET next_at = greatest(next_at - CAST(:by AS interval), now())
    WHERE state IN ('new', 'waiting_key') AND next_at > now()""",
    "UPDATE timer SET due_at = due_at - CAST(:by AS interval) WHERE kind = :key_timer AND due_at > now()",
    "UPDATE erasure SET next_at = now() WHERE done_at IS NULL AND next_at > now()",
    "UPDATE conversation SET card_edit_at = now() WHERE card_edit_at > now()",
    "UPDATE conversation SET remarks_at = now() WHERE remarks_at > now()",
    "UPDATE skill_group SET board_edit_at = now() WHERE board_edit_at > now()",
)


class QueueClock:
    """Call `look` every few seconds."""

    def __init__(self, engine: AsyncEngine, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._steady = engine, steady
        self._ahead: timedelta | None = None

    async def look(self) -> bool:
        """True if rows were moved along."""
        ahead = await self._measure()
        before, self._ahead = self._ahead, ahead
        if before is None or abs(ahead - before) < JUMP:
            return False
        log.warning("the database's clock has jumped", extra={"seconds": round((ahead - before).total_seconds())})
        if ahead > before:
            return False
        await self._set_back(before - ahead)
        return True

    async def _measure(self) -> timedelta:
        """How far the database's clock is ahead of the steady one."""
        async with at_once(self._engine) as connection:
            now: datetime = (await connection.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
        return timedelta(seconds=now.timestamp() - self._steady())

    async def _set_back(self, by: timedelta) -> None:
        async with transaction(self._engine) as connection:
            for statement in _SET_BACK:
                values = {"by": by} if ":by" in statement else {}
                named = {"key_timer": KEY_TIMER} if ":key_timer" in statement else {}
                await connection.execute(sa.text(statement), values | named)
