"""Two processes, one desk: one works, the other stands by and follows it when it is killed or stands still. A process
that lost its lease while it was stopped writes nothing when it wakes up."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.demo.synapse import Synapse
from tests.crash.house import House
from tests.crash.succession import lease_of, standby_of
from tests.support.databases import TestDatabases
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

USUAL_LEASE_S = 15


@pytest.fixture
async def standby(small_house: House) -> AsyncIterator[Product]:
    async with standby_of(small_house) as second:
        yield second


async def _epoch(house: House) -> int:
    return int((await lease_of(house)).epoch)


async def test_a_killed_desk_is_followed_by_its_standby_once_its_lease_has_ended(
    small_house: House, standby: Product
) -> None:
    house = small_house
    office = await house.open_office(agents=1, customers=2)
    await standby.start(wait=False)
    await eventually(lambda: "waiting as its standby" in standby.log_text(), 60)
    office.talk()
    await house.goes_on()
    house.product.kill()
    left = await lease_of(house)
    assert left.owner.endswith(f":{house.product.pid}"), "the dead one's lease is still its own"
    await eventually(lambda: (standby.folder / "ready").exists(), 90, what="the standby takes over")
    await house.goes_on()
    taken = await lease_of(house)
    assert taken.owner.endswith(f":{standby.pid}") and taken.epoch == left.epoch + 1
    await office.hush()
    await house.drain()
    assert not await house.judge()
    assert not office.in_the_clear()
    await house.assert_books_balance()


async def test_a_stopped_desk_is_followed_and_wakes_up_to_nothing(small_house: House, standby: Product) -> None:
    await _is_stopped_and_followed(small_house, standby, stopped_s=0)


@pytest.mark.long
async def test_a_desk_that_stood_still_for_a_minute_wakes_up_to_nothing(
    tmp_path: Path, synapse: Synapse, test_databases: TestDatabases, database_url: str
) -> None:
    """With the lease that installations have."""
    building = House.build(tmp_path, synapse, test_databases.server, database_url, lease_s=USUAL_LEASE_S)
    async with building as house, standby_of(house) as standby:
        await _is_stopped_and_followed(house, standby, stopped_s=60)


async def _is_stopped_and_followed(house: House, standby: Product, *, stopped_s: float) -> None:
    office = await house.open_office(agents=1, customers=2)
    office.talk()
    await standby.start(wait=False)
    await eventually(lambda: "waiting as its standby" in standby.log_text(), 60)
    await house.goes_on()
    epoch, until = await _epoch(house), time.monotonic() + stopped_s
    os.kill(house.product.pid, signal.SIGSTOP)
    await eventually(lambda: (standby.folder / "ready").exists(), 90, what="the standby takes over")
    await house.goes_on()
    await eventually(lambda: time.monotonic() >= until, stopped_s + 1)
    os.kill(house.product.pid, signal.SIGCONT)
    assert await house.product.wait_until_ended() == 1
    assert "lease lost" in house.product.log_text()
    await house.goes_on()
    assert await _epoch(house) == epoch + 1
    await office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()


async def test_a_stopped_standby_never_touches_the_desk(small_house: House, standby: Product) -> None:
    house = small_house
    office = await house.open_office(agents=1, customers=1)
    epoch = await _epoch(house)
    await standby.start(wait=False)
    await eventually(lambda: "waiting as its standby" in standby.log_text(), 60)
    await standby.stop()
    await office.burst(office.matters[0].asks, 3)
    await house.drain()
    assert not await house.judge()
    assert await _epoch(house) == epoch
