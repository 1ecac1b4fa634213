"""A rolling update: two versions of the code on one desk, while customers and an agent write without a pause,
encrypted, files among it. The schema goes up under the old one, the new one stands by, the old one is told to stop and
the new one goes on; then the same way back, on the new schema.

The new version is a copy of our code that differs. In the long test `UPGRADE_FROM=REVISION` makes our code the new one
and that revision of the repository the old one; `UPGRADE_MINUTES` says how long people write."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.parts import servers
from benchmarks.parts.meter import are_alike, percentile
from benchmarks.parts.reader import Reader
from messenger.demo.synapse import Synapse
from tests.crash.house import House
from tests.integration.updating import Update
from tests.load.soaking import Pace, Wait, bare_lanes, bare_sends_per_s, took_ms, writes_per_s
from tests.support.databases import TestDatabases
from tests.support.ledger import token_in
from tests.support.next_version import NEXT
from tests.support.other_code import NEXT_VERSION, OtherCode, code_of, next_code
from tests.support.timeline import Seen
from tests.support.waiting import eventually

log = logging.getLogger(__name__)

LEASE_S = 300.0  # nobody waits so long here: who takes the desk over was given it
MINUTES = float(os.environ.get("UPGRADE_MINUTES", "1.5"))
CUSTOMERS, SHARE_OF_C, BARE_S, LOOKS_EVERY_S, PATIENCE_S = 10, 0.50, 15.0, 0.1, 180.0
NOT_ALIKE = " (not the same machine)"
QUARTERS = ("the old one", "the schema goes up", "over to the new one", "and back to the old one")
_MARKS = sa.text("SELECT next_empty FROM event_log ORDER BY pos")


async def test_two_versions_hand_the_desk_to_each_other_and_back_while_people_write(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> None:
    building = House.build(tmp_path, synapse, test_databases.server, database_url, lease_s=LEASE_S)
    async with building as house, _updating(house, old=None, new=next_code(tmp_path / "next")) as update:
        office = await house.open_office(agents=1, customers=2)
        await update.begins()
        office.talk()
        await house.goes_on()
        await update.schema_goes_up()
        await house.goes_on()
        await update.goes_over_to(update.new)
        assert f'"version": "{NEXT_VERSION}"' in house.product.log_text()
        await office.open()  # somebody new
        await house.goes_on(more=10)
        await update.goes_over_to(update.old)
        await house.goes_on(more=10)
        await office.hush()
        await house.drain()
        await _nothing_is_wrong(update)
        async with house.engine.connect() as connection:
            marks = [mark for mark, _ in groupby(await connection.scalars(_MARKS))]
        assert marks == [None, NEXT, None], "decided by the old one, by the new one, and by the old one again"


@pytest.mark.long
async def test_at_half_load_a_rolling_update_and_its_way_back_lose_nothing(tmp_path: Path) -> None:
    old, new = _versions(tmp_path)
    async with _house_of_its_own() as house, _updating(house, old=old, new=new) as update:
        office = await house.open_office(agents=1, customers=CUSTOMERS)
        await update.begins()
        lanes = await bare_lanes([matter.customer for matter in office.matters])
        c = await bare_sends_per_s(house.synapse, lanes, BARE_S)
        pace, steps = Pace(office.matters, writes_per_s(SHARE_OF_C * c)), list[float]()
        [agent] = office.agents
        agent.looks_every_s = LOOKS_EVERY_S
        reader = Reader(person=agent, room=office.room, token=_token_in_a_thread, every_s=0.01)
        async with reader.reading():
            await asyncio.gather(pace.keep(60 * MINUTES), _there_and_back(update, steps))
            await house.drain()
            await eventually(lambda: pace.due_at.keys() <= reader.there_at.keys(), PATIENCE_S, what="the agent has all")
        c_after = await bare_sends_per_s(house.synapse, lanes, BARE_S)
        log.warning("C %.1f events/s before, %.1f after%s", c, c_after, "" if are_alike(c, c_after) else NOT_ALIKE)
        _tell(update, pace, pace.waits(reader.there_at), [step - pace.begun for step in steps])
        await _nothing_is_wrong(update)


async def _there_and_back(update: Update, begun: list[float]) -> None:
    """A quarter of the time each: before, on the new schema, with the new version, with the old one again."""
    for step in (update.schema_goes_up(), update.goes_over_to(update.new), update.goes_over_to(update.old)):
        await asyncio.sleep(60 * MINUTES / 4)
        begun.append(time.monotonic())
        await step


def _tell(update: Update, pace: Pace, waits: Sequence[Wait], steps_s: Sequence[float]) -> None:
    log.warning("%.2f messages and answers/s; load %.1f", pace.per_s, os.getloadavg()[0])
    log.warning("%d messages, %d of them files; %d answers", len(waits), len(pace.files), pace.answers)
    for name, (begins, ends) in zip(QUARTERS, pairwise([0.0, *steps_s, float("inf")]), strict=True):
        took = took_ms([each for each in waits if begins <= each.due_s < ends])
        figures = (percentile(took, share) for share in (0.5, 0.95, 1.0))
        log.warning("%s: %d messages, p50 %.0f ms, p95 %.0f ms, longest %.0f ms", name, len(took), *figures)
    for given_s, serves_s in update.took_s:
        log.warning(
            "after the word to stop the lease is given in %.1f s, the next one serves in %.1f s", given_s, serves_s
        )


async def _nothing_is_wrong(update: Update) -> None:
    house = update.house
    assert not await house.judge()
    assert not house.office.in_the_clear()
    assert not house.office.unreadable()
    assert update.complaints() == []
    await house.assert_books_balance()


@asynccontextmanager
async def _updating(house: House, *, old: OtherCode | None, new: OtherCode | None) -> AsyncIterator[Update]:
    update = Update(house=house, old=old, new=new)
    try:
        yield update
    finally:
        for process in update.processes:
            process.kill() if process.is_running else None


def _versions(folder: Path) -> tuple[OtherCode | None, OtherCode | None]:
    if revision := os.environ.get("UPGRADE_FROM"):
        return code_of(revision, folder / "old"), None
    return None, next_code(folder / "next")


@asynccontextmanager
async def _house_of_its_own() -> AsyncIterator[House]:
    async with (
        servers.folder() as folder,
        servers.postgres(folder) as postgres,
        servers.synapse(folder) as synapse,
        House.build(
            folder, synapse, postgres, await postgres.create_database("stellwerk"), lease_s=LEASE_S, is_alone=True
        ) as house,
    ):
        yield house


def _token_in_a_thread(seen: Seen) -> str | None:
    return token_in(seen.body) if seen.thread else None
