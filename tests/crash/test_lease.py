"""Two processes, one desk: one works, the other stands by. A process that lost its lease while it was
stopped writes nothing when it wakes up."""

import os
import shutil
import signal
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from messenger.storage.models.queues import lease
from tests.crash.house import House
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


@pytest.fixture
async def standby(leased_house: House) -> AsyncIterator[Product]:
    """A second process of the same installation, with a log of its own."""
    first = leased_house.product
    folder = first.folder.with_name("standby")
    folder.mkdir()
    shutil.copy(first.settings_file, folder)
    second = Product(folder, leased_house.synapse.url, first.desk, first.database_url)
    yield second
    second.kill() if second.is_running else None


async def _epoch(house: House) -> int:
    async with house.engine.connect() as connection:
        return int(await connection.scalar(sa.select(lease.c.epoch)) or 0)


async def test_a_stopped_desk_is_followed_and_wakes_up_to_nothing(leased_house: House, standby: Product) -> None:
    house = leased_house
    office = await house.open_office(agents=1, customers=2)
    office.talk()
    await standby.start(wait=False)
    await eventually(lambda: "waiting as its standby" in standby.log_text(), 60)
    await house.goes_on()
    epoch = await _epoch(house)
    os.kill(house.product.pid, signal.SIGSTOP)
    await eventually(lambda: (standby.folder / "ready").exists(), 60, what="the standby takes over")
    await house.goes_on()
    os.kill(house.product.pid, signal.SIGCONT)
    assert await house.product.wait_until_ended() == 1
    assert "lease lost" in house.product.log_text()
    await house.goes_on()
    assert await _epoch(house) == epoch + 1
    await office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()


async def test_a_stopped_standby_never_touches_the_desk(leased_house: House, standby: Product) -> None:
    house = leased_house
    office = await house.open_office(agents=1, customers=1)
    epoch = await _epoch(house)
    await standby.start(wait=False)
    await eventually(lambda: "waiting as its standby" in standby.log_text(), 60)
    await standby.stop()
    await office.burst(office.matters[0].asks, 3)
    await house.drain()
    assert not await house.judge()
    assert await _epoch(house) == epoch
