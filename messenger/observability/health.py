"""Whether this process lives, has started and may be used. Three questions for three kinds of askers: who restarts a
process that hangs (`/livez`), who waits for a start (`/startupz`), who sends it work or tells an operator (`/readyz`).

A check answers with a code; "" means that all is well. Answers hold codes only, so that everybody may see them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from messenger.observability import metrics

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str]]

LONGEST_LAG_S = 5.0
CHECK_PATIENCE_S = 3.0
REMEMBERED_S = 1.0  # however often somebody asks, the databases are asked once a second
TICK_S = 1.0
LAG_OF_LAST_S = 30.0
LATE, FAILED, STOPPING, STARTING = "no_answer", "failed", "stopping", "starting"


class Health:
    """`is_stopping` says whether the process was told to end."""

    def __init__(
        self, is_stopping: Callable[[], bool] = lambda: False, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_stopping, self._clock, self._checks = is_stopping, clock, dict[str, Check]()
        self._ticked_at, self._lags = clock(), [(clock(), 0.0)]
        self._known, self._known_at = dict[str, str](), float("-inf")
        self._asking = asyncio.Lock()
        self.has_started = False

    def watch(self, name: str, check: Check) -> None:
        """From now on readiness asks this, too, in place of an earlier check of that name."""
        self._checks[name] = check
        self._known_at = float("-inf")

    def tick(self, planned_s: float) -> None:
        """Called by the loop itself after a sleep of so many seconds: what it took longer is the loop's lag."""
        now = self._clock()
        self._lags = [(at, lag) for at, lag in self._lags if now - at < LAG_OF_LAST_S]
        self._lags.append((now, max(0.0, now - self._ticked_at - planned_s)))
        self._ticked_at = now
        metrics.LOOP_LAG.of().set(max(lag for _, lag in self._lags))

    @property
    def lag_s(self) -> float:
        """How late the loop is now. Whoever can ask this has got a turn, so it is what the turn took to come."""
        return max(self._lags[-1][1], self._clock() - self._ticked_at - TICK_S)

    @property
    def is_alive(self) -> bool:
        return self.lag_s < LONGEST_LAG_S

    async def readiness(self) -> Mapping[str, str]:
        """Each check with its code. Ready is who has no code at all."""
        async with self._asking:
            if self._clock() - self._known_at >= REMEMBERED_S:
                self._known, self._known_at = await self._ask(), self._clock()
        ours = {"process": STOPPING if self._is_stopping() else "" if self.has_started else STARTING}
        found = {**ours, **self._known}
        metrics.READY.of().set(not any(found.values()))
        return found

    async def _ask(self) -> dict[str, str]:
        names = list(self._checks)
        return dict(zip(names, await asyncio.gather(*(_answer(self._checks[name]) for name in names)), strict=True))


async def _answer(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_PATIENCE_S):
            return await check()
    except TimeoutError:
        return LATE
    except Exception:  # noqa: BLE001 - the answer is that there is none
        return FAILED


async def keep_ticking(health: Health, each: Callable[[], None] = lambda: None) -> None:
    """`each` is called with every tick: a loop that stands still calls it no more."""
    while True:
        await asyncio.sleep(TICK_S)
        health.tick(TICK_S)
        each()
