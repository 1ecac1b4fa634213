"""Time that passes at once: either the program's clock is put forward (`Clock`, with `tick` for the timers), or
everything recorded becomes older and the clocks of program and database stay as they are (`becomes_older`)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.time_machine import make_older
from messenger.storage.timers import fire_due
from messenger.storage.unit_of_work import SqlUnits
from tests.integration.staff_desk import DESK, StaffDesk


@dataclass(slots=True)
class Clock:
    """The program's clock, put forward by hand."""

    desk: StaffDesk
    now: datetime

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new program on the old database."""
        desk = self.desk
        namespace: UUID = desk.namespace
        desk.units = SqlUnits(desk.engine, desk.keys, namespace=namespace, desk=DESK, clock=lambda: self.now)

    async def tick(self, now: datetime, *, workers: int = 1) -> int:
        """The timers look at the clock, and what is due is handled. Returns how many fired."""
        self.now = now
        fired = await fire_due(self.desk.engine, self.desk.keys, at=now)
        await self.desk.work(workers)
        return fired


async def becomes_older(engine: AsyncEngine, by: timedelta) -> None:
    async with engine.begin() as connection:
        await make_older(connection, by)
