"""The outbox worker: claims the heads of many lanes, delivers them side by side, and settles each by what became of
it."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from messenger.app.counting import CHANNEL, count_sent
from messenger.app.dead_letters import blocks_lane, effect_put_aside
from messenger.app.deliver import Deliverer
from messenger.app.effects.customer import AtCustomer, MirrorReactions
from messenger.app.effects.places import PostCard
from messenger.app.effects.thread import EditInThread, RelayToThread
from messenger.app.outcome import Outcome, ended
from messenger.app.ports import BodyErased, StorageAway
from messenger.app.records import OutboxRow
from messenger.channels.errors import (
    BadCredentials,
    ChannelError,
    LeaseLost,
    Quota,
    Rejected,
    Temporary,
    Uncertain,
    Undecided,
)
from messenger.observability import metrics
from messenger.observability.time import utc_now
from messenger.workers.reach import Reach
from messenger.workers.supervise import Wake

log = logging.getLogger(__name__)

AT_ONCE = 32
OWN_TRIES = 5
GIVE_BACK_PAUSE_S = 1.0
FILES_WAIT = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)
# Synapse forgets transaction ids after 24 hours, and keeps them per device.
REMEMBERED_FOR = timedelta(hours=20)
_PAUSES_S = (1, 5, 30, 300)
_UNREACHABLE = "unreachable"


class OutboxQueue(Protocol):
    in_doubt: list[UUID]  # tokens of claims that may or may not be there: freed before the next claim
    hurried_at: float  # when `hurry` was called last, by the monotonic clock

    async def claim(self, most: int) -> Sequence[OutboxRow]: ...

    async def end(self, row: OutboxRow, *, state: str, outcome: Outcome, code: str = "") -> bool:
        """Returns whether more waits in the row's lane."""
        ...

    async def retry(
        self, row: OutboxRow, after: timedelta, code: str, *, has_failed: bool = True, for_a_person: bool = False
    ) -> None:
        """`has_failed`: the next pause is longer, and tries are counted. `for_a_person`: it waits until somebody has
        done something, however long that takes."""
        ...

    async def hurry(self) -> None:
        """What was put off because the homeserver was away is due, and its pauses begin anew."""
        ...


class OutboxWorker:
    """`has_begun`: otherwise it claims nothing before `begin`."""

    def __init__(
        self,
        queue: OutboxQueue,
        deliverer: Deliverer,
        *,
        device: str,
        wake: Wake,
        after: Wake,
        has_begun: bool = True,
        reach: Reach | None = None,
    ) -> None:
        self._queue, self._deliverer, self._device = queue, deliverer, device
        self._wake, self._after = wake, after
        self._has_begun = has_begun
        self._running: set[asyncio.Task[None]] = set()
        self._lost: LeaseLost | None = None
        self._reach = reach or Reach()
        self._is_paused = False

    async def step(self) -> None:
        """Claims as many rows as there are free hands and starts them; they end on their own."""
        if self._lost:
            raise self._lost
        free = self._free
        rows = await self._queue.claim(free) if free else []
        self.take(rows)
        if len(rows) < free or not free:  # that was all; another claim would find nothing
            await self._wake.wait()

    @property
    def _free(self) -> int:
        is_at_work = self._has_begun and not self._is_paused and not self._lost
        return max(0, AT_ONCE - len(self._running)) if is_at_work else 0

    @property
    def is_idle(self) -> bool:
        """While much is on its way, rows are better claimed, encrypted and settled many at a time."""
        return self._free == AT_ONCE

    def take(self, rows: Sequence[OutboxRow]) -> None:
        """Starts rows that are claimed, by this worker or for it."""
        for row in rows:
            task = asyncio.create_task(self._carry_out(row), name=f"outbox {row.id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def let_go(self, rows: Sequence[OutboxRow]) -> None:
        """Rows that may have been claimed for this worker, or may not exist: the database went away meanwhile."""
        self._queue.in_doubt.extend({row.token for row in rows})

    def look(self) -> None:
        self._wake.hint()

    def begin(self) -> None:
        self._has_begun = True
        self._wake.hint()

    def pause(self) -> None:
        """Nothing new is claimed any more."""
        self._is_paused = True

    async def drain(self) -> None:
        """Waits for what is on its way."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _carry_out(self, row: OutboxRow) -> None:
        has_more = True
        try:
            has_more = await self._settle(row)
        except LeaseLost as lost:
            self._lost = lost
        except Exception as error:  # the database is away
            log.error("outbox row cannot be settled", extra={"row_id": row.id, "error": type(error).__name__})
            await self._give_back(row)
        if has_more or not self._free:
            self._wake.hint()

    async def _give_back(self, row: OutboxRow) -> None:
        """As soon as the database is back the row is free again, under its old transaction id. Without us its claim
        expires."""
        while self._lost is None:
            try:
                return await self._queue.retry(row, timedelta(0), "storage_away", has_failed=False)
            except LeaseLost as lost:
                self._lost = lost
            except Exception:
                await asyncio.sleep(GIVE_BACK_PAUSE_S)

    async def _settle(self, row: OutboxRow) -> bool:
        """Returns whether more may be due in its lane."""
        began_at = time.monotonic()
        try:
            outcome = await self._deliver(row)
        except (LeaseLost, StorageAway):
            raise
        except BodyErased:
            log.info("delivery dropped: erased", extra={"row_id": row.id, "kind": type(row.effect).__name__})
            await self._queue.end(row, state="cancelled", outcome=Outcome(), code="erased")
        except Rejected as error:
            await self._fail(row, error.code)
        except ChannelError as error:
            await self._later(row, error, began_at)
        except Exception as error:  # ours: tried a few times, then put aside where a person finds it
            log.error(
                "delivery failed",
                extra={"row_id": row.id, "kind": type(row.effect).__name__, "error": type(error).__name__},
                exc_info=True,
            )
            await self._again_or_bury(row, type(error).__name__)
        else:
            has_more = await self._queue.end(row, state="sent", outcome=outcome)
            count_sent(row, utc_now())
            if self._reach.is_back(time.monotonic()):
                log.info("the homeserver takes again what is sent")
                await self._queue.hurry()
                self._wake.hint()
            if outcome.items:
                self._after.hint()
            return has_more
        return True

    async def _deliver(self, row: OutboxRow) -> Outcome:
        deliverer = self._deliverer_of(row)
        if self._is_doubtful(row):
            deliverer = deliverer.with_care()
        return await deliverer.deliver(row.effect, row.txn)

    def _deliverer_of(self, row: OutboxRow) -> Deliverer:
        """A conversation does not stand still for a file that another server keeps: it goes on behind a word that the
        file cannot be read."""
        is_patient = utc_now() - row.first_try_at < FILES_WAIT
        return self._deliverer if is_patient else self._deliverer.without_patience()

    def _is_doubtful(self, row: OutboxRow) -> bool:
        """May an earlier try have got through without the homeserver knowing our repeat?"""
        if row.attempts == 1:
            return False
        return row.has_moved or row.device_id != self._device or utc_now() - row.first_try_at > REMEMBERED_FOR

    async def _later(self, row: OutboxRow, error: ChannelError, began_at: float) -> None:
        if error.code == _UNREACHABLE:
            self._reach.failed(row.effect.lane, time.monotonic())
        for_a_person = isinstance(error, Undecided | BadCredentials)
        if row.failing_for > GIVE_UP_AFTER and not for_a_person:
            return await self._fail(row, _UNREACHABLE)
        pause = timedelta(seconds=self._pause_s(row, error, began_at))
        if isinstance(error, Temporary) and error.retry_after is not None:
            pause = error.retry_after
        if isinstance(error, BadCredentials | Uncertain):
            pause = max(pause, timedelta(seconds=30))
        if isinstance(error, Uncertain):
            metrics.UNCERTAIN.of(channel=CHANNEL).inc()
        self._log_postponed(row, error, pause)
        await self._queue.retry(row, pause, error.code, for_a_person=for_a_person)

    def _pause_s(self, row: OutboxRow, error: ChannelError, began_at: float) -> int:
        """A call that began before the homeserver was back says nothing of it as it is now."""
        is_old = error.code == _UNREACHABLE and began_at < self._queue.hurried_at
        return _PAUSES_S[0 if is_old else min(row.failures, len(_PAUSES_S) - 1)]

    def _log_postponed(self, row: OutboxRow, error: ChannelError, pause: timedelta) -> None:
        """What waits for a person's decision is said once, for it may be looked at for days; so is what waits because
        the homeserver asks for it: that is its pace and no failure."""
        if isinstance(error, Undecided | Quota) and row.failures:
            return
        log.log(
            logging.INFO if row.failures < 2 else logging.WARNING,
            "delivery postponed",
            extra={
                "row_id": row.id,
                "kind": type(row.effect).__name__,
                "code": error.code,
                "seconds": pause.total_seconds(),
            },
        )

    async def _fail(self, row: OutboxRow, code: str) -> None:
        log.warning("delivery refused", extra={"row_id": row.id, "kind": type(row.effect).__name__, "code": code})
        metrics.DELIVERY_FAILURES.of(channel=CHANNEL, reason=code).inc()
        # What a customer wrote is never given up quietly: a person finds it among the dead letters.
        if isinstance(row.effect, PostCard | RelayToThread | EditInThread):
            return await self._bury(row, code)
        await self._queue.end(row, state="failed", outcome=_ended_badly(row, code), code=code)
        self._after.hint()

    async def _again_or_bury(self, row: OutboxRow, reason: str) -> None:
        if row.failures + 1 < OWN_TRIES:
            return await self._queue.retry(row, timedelta(seconds=2 ** (row.failures + 1)), reason)
        metrics.DELIVERY_FAILURES.of(channel=CHANNEL, reason="internal").inc()
        await self._bury(row, reason)

    async def _bury(self, row: OutboxRow, reason: str) -> None:
        """Among the dead letters, with a word to the team. An answer stays where it is in its lane: it may have got
        through, and what its author wrote after it waits until somebody has decided."""
        if blocks_lane(row.effect):
            state, outcome = "unknown", _word(row)
        else:
            state, outcome = "dead", _ended_badly(row, "internal")
        await self._queue.end(row, state=state, outcome=outcome if outcome.items else _word(row), code=reason)
        self._after.hint()


def _word(row: OutboxRow) -> Outcome:
    word = effect_put_aside(row.effect, row.txn, row.attempts)
    return Outcome(items=[word] if word else [])


def _ended_badly(row: OutboxRow, code: str) -> Outcome:
    """The author of an answer, or of a change to one, is told; a customer's message that cannot be shown is in the dead
    letters."""
    if isinstance(row.effect, AtCustomer | MirrorReactions):
        return Outcome(items=[ended(row.effect, row.txn, code)])
    return Outcome()
