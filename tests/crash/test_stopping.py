"""SIGTERM: what is on its way ends, nothing new is begun, the next process goes on where this one stopped."""

import os
import signal

import pytest
import sqlalchemy as sa

from messenger.bootstrap.desk_process import DRAIN_S
from messenger.storage.models.queues import lease, outbox
from tests.crash.house import House
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

SLACK_S = 15.0  # a loaded machine


async def _claimed(house: House) -> int:
    async with house.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == "claimed")
        return int(await connection.scalar(query) or 0)


async def _lease_is_free(house: House) -> bool:
    async with house.engine.connect() as connection:
        return bool(await connection.scalar(sa.select(lease.c.until < sa.func.now())))


async def _is_told_to_stop(house: House) -> None:
    os.kill(house.product.pid, signal.SIGTERM)
    assert await house.product.wait_until_ended(timeout_s=DRAIN_S + SLACK_S) == 0


async def _goes_on_afterwards(house: House) -> None:
    await house.product.start()
    await house.office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()


async def test_a_program_that_is_told_to_stop_ends_what_is_on_its_way(small_house: House) -> None:
    office = await small_house.open_office(agents=1, customers=2)
    office.talk()
    await small_house.goes_on(more=10)
    await eventually(lambda: _claimed(small_house), what="something is on its way")
    await _is_told_to_stop(small_house)
    assert "not everything ended in time" not in small_house.product.log_text()
    assert await _claimed(small_house) == 0, "nothing is left half done"
    assert await _lease_is_free(small_house), "the next one need not wait"
    await _goes_on_afterwards(small_house)


@pytest.mark.long
async def test_what_cannot_end_is_given_up_after_twenty_seconds_and_taken_up_again(house: House) -> None:
    """The homeserver takes requests and answers none."""
    office = await house.open_office(agents=1, customers=2)
    office.talk()
    await house.goes_on(more=10)
    house.synapse.pause()
    await eventually(lambda: _claimed(house), what="something is on its way")
    await _is_told_to_stop(house)
    assert "not everything ended in time" in house.product.log_text()
    house.synapse.resume()
    await _goes_on_afterwards(house)
