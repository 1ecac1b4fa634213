"""One inbox row, one transaction: claim → load and lock → decide → append → project → react → settle → COMMIT.

Nothing outside is awaited here. A process that dies in between leaves the row as it was."""

from dataclasses import replace
from datetime import timedelta

from messenger.app.blocked import STAFFS, blocked_answer
from messenger.app.counting import Step, count
from messenger.app.dispatch import dispatch
from messenger.app.gate import Gate, HeldBack, TooFast
from messenger.app.items import Item
from messenger.app.pace import Pace
from messenger.app.ports import BodyErased, StorageAway, UnitOfWork, Units
from messenger.app.records import InboxRow
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import InboundMessage
from messenger.domain.errors import Blocked, ProcessingRestricted
from messenger.observability.failpoints import fp

# What the customer writes meanwhile, and what was to happen at a time, is kept and waits; the end of the restriction
# makes it due at once.
RESTRICTED_PAUSE = timedelta(minutes=10)
NOT_YET_PAUSE, LONG_PAUSE = timedelta(seconds=1), timedelta(seconds=30)
IMPATIENT_TRIES = 60


class HandlingFailed(Exception):
    """A row could not be handled; nothing of it was done. The cause is a defect of ours or a database that is away."""

    def __init__(self, row: InboxRow) -> None:
        super().__init__(type(row.item).__name__)
        self.row = row


async def handle_next(units: Units, pace: Pace | None = None) -> InboxRow | None:
    """Handles the head row of some lane, customers' no faster than `pace`. Returns it, or None if nothing is due.
    Raises HandlingFailed and StorageAway."""
    row, steps = None, list[Step]()
    try:
        async with units() as unit:
            row = await unit.inbox.claim()
            if row is None:
                return None
            fp("inbox_claimed")
            row, steps = await _take_turn(unit, row, pace)
    except StorageAway:
        raise
    except BodyErased:
        if row is None:
            raise
        await _let_go(units, row)
    except Exception as error:
        if row is None:
            raise
        raise HandlingFailed(row) from error
    fp("process_committed")
    count(steps, unit.now)
    return row


async def _let_go(units: Units, row: InboxRow) -> None:
    """It is about somebody who was erased in between: nothing of it can be kept, and nobody can be helped by a
    repeat."""
    async with units() as unit:
        await unit.inbox.settle(row)


async def _take_turn(unit: UnitOfWork, row: InboxRow, pace: Pace | None) -> tuple[InboxRow, list[Step]]:
    """Returns the row, which is not the last one if the turn itself has asked for another, and what has happened."""
    gate = Gate(pace=pace, unit=unit, row=row) if pace is not None else None
    turn = Turn(unit, f"{row.source}|{row.source_id}", gate=gate)
    try:
        if gate is not None:
            await gate.let_in()
        await dispatch(turn, _marked(row))
    except TooFast as wait:
        await unit.inbox.defer(row, wait.until - unit.now, paced=wait.paced)
        return row, []
    except HeldBack as held:
        if not await unit.floods.hold(row, held.flood):
            await unit.inbox.defer(row, timedelta(0))
        return replace(row, is_last=False), []
    except NotYet as wait:
        if wait.until is not None or row.attempts < wait.tries:
            await unit.inbox.defer(row, wait.until - unit.now if wait.until else _pause(row))
            return row, []
        if wait.is_vital:
            raise
    except Blocked as stop:
        if isinstance(stop, ProcessingRestricted) and not isinstance(row.item, STAFFS):
            await unit.inbox.defer(row, RESTRICTED_PAUSE)
            return row, []
        turn = Turn(unit, turn.source, effects=list(blocked_answer(row.item, stop)))
    wants_routing = await turn.finish()
    await unit.inbox.settle(row)
    return replace(row, is_last=False) if wants_routing else row, turn.steps


def _marked(row: InboxRow) -> Item:
    """What had to wait for the limits is shown as late, with the time at which it was written."""
    if not row.paced or not isinstance(row.item, InboundMessage):
        return row.item
    return replace(row.item, signals={**row.item.signals, "late": "1"})


def _pause(row: InboxRow) -> timedelta:
    return NOT_YET_PAUSE if row.attempts < IMPATIENT_TRIES else LONG_PAUSE
