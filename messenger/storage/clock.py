"""The database's clock is the one that says what is due in the queues. When it is set back, what waits for a few
seconds would wait for so much longer: a look at a clock that goes on evenly tells, and the rows are moved along.

Set forward, it makes due early what waits, which harms nothing but an answer in its hold window: its author has those
seconds to take it back. So an answer that nobody has tried to send leaves only if it is due by the even clock, too
(`latest`), and what was left of its window is left after the jump. What people have set a time for goes by the clock
as it is now."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once, transaction
from messenger.storage.timers import KEY_TIMER

log = logging.getLogger(__name__)

JUMP = timedelta(seconds=3)  # less is the drift of a clock that is being corrected, or a slow answer
SURE_S = 1.0
_HELD = "state = 'new' AND attempts = 0 AND message_id IS NOT NULL"
# What was held after the jump knows the new time already: it was made since the last look.
_SET_BACK = (
    f"""UPDATE outbox SET next_at = least(next_at, greatest(next_at - CAST(:by AS interval), now())),
      claimed_until = claimed_until - CAST(:by AS interval)
    WHERE state IN ('new', 'claimed', 'unknown') AND (next_at > now() OR claimed_until > now())
      AND NOT ({_HELD} AND made_at BETWEEN now() - CAST(:unseen AS interval) AND now())""",  # noqa: S608 - ours
    """UPDATE inbox SET next_at = greatest(next_at - CAST(:by AS interval), now())
    WHERE state IN ('new', 'waiting_key') AND next_at > now()""",
    "UPDATE timer SET due_at = due_at - CAST(:by AS interval) WHERE kind = :key_timer AND due_at > now()",
    "UPDATE erasure SET next_at = now() WHERE done_at IS NULL AND next_at > now()",
    "UPDATE conversation SET card_edit_at = now() WHERE card_edit_at > now()",
    "UPDATE conversation SET remarks_at = now() WHERE remarks_at > now()",
    "UPDATE skill_group SET board_edit_at = now() WHERE board_edit_at > now()",
)
_SET_FORWARD = (
    f"""UPDATE outbox SET next_at = next_at + CAST(:by AS interval)
    WHERE {_HELD} AND next_at > now() - CAST(:by AS interval)
      AND made_at <= now() - CAST(:by AS interval) + interval '{SURE_S} s'""",  # noqa: S608 - ours
)
# Made in the future: the clock was set back while nobody looked.
_FROM_THE_FUTURE = (
    """UPDATE outbox SET next_at = least(next_at, now() + (next_at - made_at))
    WHERE state = 'new' AND made_at > now() + CAST(:jump AS interval)""",
)


class QueueClock:
    """Call `look` before the first row is claimed, and then every few seconds."""

    def __init__(self, engine: AsyncEngine, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._steady = engine, steady
        self._ahead: timedelta | None = None
        self._looked_at = 0.0

    async def look(self) -> bool:
        """True if the clock has jumped, and rows may be due. If moving them fails, the next look finds the same."""
        began_at, ahead = await self._measure()
        if self._steady() - began_at > SURE_S:
            return False  # whether the clock has jumped or the answer was slow, nobody knows
        jumped = ahead - (self._ahead if self._ahead is not None else ahead)
        unseen = timedelta(seconds=began_at - self._looked_at) + JUMP
        if abs(jumped) >= JUMP:
            log.warning("the database's clock has jumped", extra={"seconds": round(jumped.total_seconds())})
            forward = jumped > timedelta(0)
            await self._move(_SET_FORWARD if forward else _SET_BACK, by=abs(jumped), unseen=unseen)
        elif self._ahead is None:
            await self._move(_FROM_THE_FUTURE, jump=JUMP)
        self._ahead, self._looked_at = ahead, began_at
        return abs(jumped) >= JUMP

    def latest(self) -> datetime | None:
        """What the database's clock says now if it has not been set forward since the last look; None before the
        first."""
        if self._ahead is None:
            return None
        return datetime.fromtimestamp(0, UTC) + self._ahead + timedelta(seconds=self._steady())

    async def _measure(self) -> tuple[float, timedelta]:
        """When it was asked, and how far the database's clock is ahead of the steady one: rather too far, by the time
        of the answer, so that `latest` holds nothing back."""
        async with at_once(self._engine) as connection:
            await connection.execute(sa.text("SELECT 1"))  # connecting may take long
            began_at = self._steady()
            now: datetime = (await connection.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
        return began_at, timedelta(seconds=now.timestamp() - began_at)

    async def _move(self, statements: Sequence[str], **values: timedelta) -> None:
        async with transaction(self._engine) as connection:
            for statement in statements:
                known = {"key_timer": KEY_TIMER, **values}
                await connection.execute(
                    sa.text(statement), {name: value for name, value in known.items() if f":{name}" in statement}
                )
