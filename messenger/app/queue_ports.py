"""What the use cases ask of the queues and of the clock, inside a unit of work."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from messenger.app.effects.base import Effect
from messenger.app.effects.inside import SetTimer
from messenger.app.items import Unreadable
from messenger.app.records import (
    InboxRow,
    NewItem,
)
from messenger.domain.ids import MessageId


class InboxPort(Protocol):
    async def claim(self) -> InboxRow | None:
        """The head row of some lane, locked until the unit ends; None if nothing is due."""
        ...

    async def settle(self, row: InboxRow) -> None: ...

    async def defer(self, row: InboxRow, pause: timedelta, *, paced: str = "") -> None:
        """It comes again after that, in its place. `paced` is kept if it is empty."""
        ...

    async def waiting(self, source: str, source_id: str) -> Unreadable | None:
        """The row if it still waits for its key; nobody changes it before this unit ends."""
        ...

    async def add(self, items: Sequence[NewItem]) -> int: ...

    async def absorb(self, lane: str) -> None:
        """Settles every due row of the lane that no other worker holds: this turn does what they ask for. Whatever
        caused them is committed, so what is read from now on shows it."""
        ...


class OutboxPort(Protocol):
    async def put(self, source: str, effects: Sequence[Effect]) -> None:
        """`source` names what caused them; transaction ids are a function of it, the lane and the position."""
        ...

    async def keep_back(self, message: MessageId) -> bool:
        """True if the answer has not left: until this unit ends nobody takes it."""
        ...

    async def cancel(self, message: MessageId) -> None:
        """An answer that was kept back never leaves."""
        ...

    async def hurry(self) -> None:
        """What waits because somebody was away, or for a decision, is due now."""
        ...

    async def is_sending(self, lane: str) -> bool:
        """Is something of this lane on its way, so that it may be there before its id is noted?"""
        ...


class TimerPort(Protocol):
    async def set(self, timers: Sequence[SetTimer]) -> None: ...
