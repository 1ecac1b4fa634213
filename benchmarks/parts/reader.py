"""Somebody's client that notes when it could read each message, and forgets what it has read."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.people import Person
from tests.support.timeline import Seen

REMEMBER = 500


@dataclass(slots=True, kw_only=True)
class Reader:
    """`token` tells which message a line is; nothing if it is none that counts. The client's eyes must be open."""

    person: Person
    room: str
    token: Callable[[Seen], str | None]
    every_s: float = 0.002
    there_at: dict[str, float] = field(default_factory=dict)  # token -> time.monotonic()
    _late: list[str] = field(default_factory=list)  # events without their key

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """What comes from now on."""
        task = asyncio.create_task(self._read_for_ever(), name="reader")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _read_for_ever(self) -> None:
        view = self.person.rooms[self.room]
        looked_at = len(view.events)
        while True:
            fresh = [event["event_id"] for event in view.since(looked_at) if event["type"] == "m.room.encrypted"]
            looked_at = len(view.events)
            self._open([*self._late, *fresh])
            if looked_at > 2 * REMEMBER and not self._late:
                view.forget_all_but(REMEMBER)
                looked_at = REMEMBER
            await asyncio.sleep(self.every_s)

    def _open(self, events: Sequence[str]) -> None:
        view, now = self.person.rooms[self.room], time.monotonic()
        opened = {event: view.seen(self.person.device, event) for event in events}
        self._late = [event for event, seen in opened.items() if not seen.is_readable]
        for seen in opened.values():
            if seen.is_readable and (token := self.token(seen)):
                self.there_at.setdefault(token, now)
