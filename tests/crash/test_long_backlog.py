"""Thousands of encrypted messages wait when the program starts: all of them arrive, once and in order, and who writes
meanwhile does not wait behind them. `BACKLOG=1000` plays a part of it."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.house import House
from tests.crash.office import Lane
from tests.support.people import Person
from tests.support.timeline import seen
from tests.support.waiting import eventually

pytestmark = [pytest.mark.crash, pytest.mark.long]
log = logging.getLogger(__name__)

BACKLOG = int(os.environ.get("BACKLOG", "10000"))
CUSTOMERS = 10
PATIENCE_S = 240.0
RARELY_S, NOW_AND_THEN_S = 60.0, 2.0  # of people's apps: each look costs the homeserver as much as a message
# What the program may hold at most, whatever waits: a quarter of the smallest machine that it is made for (2 GB).
MOST_BYTES = 512 * 2**20


@dataclass(slots=True)
class Memory:
    """Of one process, in bytes: at rest, and the most that was seen since."""

    pid: int
    most: int = 0

    def now(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watcher = asyncio.create_task(self._watch(), name="memory")
        try:
            yield
        finally:
            watcher.cancel()

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            await asyncio.sleep(0.1)


async def test_thousands_of_messages_of_a_downtime_arrive_and_nobody_waits_behind_them(small_house: House) -> None:
    house, began = small_house, time.monotonic()
    office = await house.open_office(agents=1, customers=CUSTOMERS + 1)
    *writers, late = office.matters
    memory_at_rest = Memory(house.product.pid).now()
    house.product.kill()
    for person in (matter.customer for matter in writers):
        person.looks_every_s = RARELY_S
    late.agent.looks_every_s = NOW_AND_THEN_S
    await asyncio.gather(*(office.burst(matter.asks, BACKLOG // CUSTOMERS) for matter in writers))
    written = time.monotonic()
    await house.product.start()
    memory = Memory(house.product.pid)
    async with memory.watched():
        await _crosses(house, late.asks, to=late.agent, room=office.room, thread=late.card)
        await _crosses(house, late.answers, to=late.customer, room=late.chat, thread=None)
        served, waiting = time.monotonic(), sum((await house.open_rows()).values())
        await house.drain()
    log.warning(
        "%d messages: written in %.0f s, the late customer was read and answered after %.0f s with %d still to come, "
        "all in %.0f s; memory %.0f MiB at rest, at most %.0f",
        BACKLOG,
        written - began,
        served - written,
        waiting,
        time.monotonic() - written,
        memory_at_rest / 2**20,
        memory.most / 2**20,
    )
    assert not await house.judge()
    await house.assert_books_balance()
    assert office.ledger.count == len(office.matters) + BACKLOG // CUSTOMERS * CUSTOMERS + 2
    assert waiting > BACKLOG // 4, "somebody who writes now waits behind what others wrote before"
    assert memory.most < MOST_BYTES


async def _crosses(house: House, lane: Lane, *, to: Person, room: str, thread: str | None) -> None:
    """One message is written and read on the other side."""
    token = await lane.write()

    def is_read() -> bool:
        there = (event for event in to.rooms[room].events.values() if _root(event) == thread)
        return any(
            token in seen(to.device, room, event).body for event in there if event["sender"] == house.product.desk
        )

    await eventually(is_read, PATIENCE_S, progress=house.progress, what=f"{token} is read")


def _root(event: Mapping[str, Any]) -> str | None:
    relation = event["content"].get("m.relates_to") or {}
    return relation.get("event_id") if relation.get("rel_type") == "m.thread" else None
