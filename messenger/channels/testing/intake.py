"""An `Intake` in memory, with the faults a real one has: it can die before the commit, lose its lease, or fall
behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from messenger.channels.errors import LeaseLost
from messenger.channels.health import Health
from messenger.channels.messages import Handle, Inbound, InboundMessage, RawRef


class Unplugged(BaseException):
    """The process died between accept and commit. Not an Exception, so that a bridge cannot swallow it by mistake."""


class MemoryIntake:
    """What was committed outlives the bridge, as the database does: give the same intake to the next instance."""

    patience_s = 10.0

    def __init__(self) -> None:
        self.rows: dict[str, Inbound] = {}
        self.raw: dict[RawRef, bytes] = {}
        self.reported: list[Health] = []
        self.typists: list[tuple[Handle, bool]] = []
        self.most_under_way = 0
        self._cursor: str | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._fault: BaseException | None = None
        self._changed = asyncio.Condition()

    # what a bridge calls

    async def put(self, items: Sequence[Inbound], *, cursor: str | None = None) -> int:
        self.most_under_way = max(self.most_under_way, len(items))
        await self._open.wait()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
        new = [item for item in items if item.source_id not in self.rows]
        self.rows.update(_by_id(new))
        self._cursor = cursor if cursor is not None else self._cursor
        await self._announce()
        return len(_by_id(new))

    async def keep_raw(self, body: bytes) -> RawRef:
        ref = RawRef(hashlib.sha256(body).hexdigest())
        self.raw[ref] = body
        return ref

    async def cursor(self) -> str | None:
        return self._cursor

    async def health(self, health: Health) -> None:
        self.reported.append(health)
        await self._announce()

    def typing(self, sender: Handle, on: bool) -> None:
        self.typists.append((sender, on))

    # what a test calls

    def die_before_next_commit(self) -> None:
        self._fault = Unplugged("killed between accept and commit")

    def lose_lease(self) -> None:
        self._fault = LeaseLost("another process reads this account now")

    def fall_behind(self) -> None:
        """`put` waits from now on, until `catch_up`."""
        self._open.clear()

    def catch_up(self) -> None:
        self._open.set()

    @property
    def texts(self) -> list[str]:
        """The words of the messages in the order of their arrival."""
        return [row.content.text for row in self.rows.values() if isinstance(row, InboundMessage)]

    async def until(self, condition: Callable[[], bool], *, within_s: float | None = None) -> None:
        """Waits until the condition holds; it is asked again whenever something was committed or reported."""
        async with asyncio.timeout(within_s or self.patience_s), self._changed:
            await self._changed.wait_for(condition)

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _by_id(items: Sequence[Inbound]) -> dict[str, Inbound]:
    found: dict[str, Inbound] = {}
    for item in items:
        found.setdefault(item.source_id, item)  # the first copy stands, as with ON CONFLICT DO NOTHING
    return found
