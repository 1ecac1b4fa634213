"""SIGTERM: what is on its way ends, nothing new is begun, the next process goes on where this one stopped."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa

from messenger.demo.child import free_port
from messenger.storage.models.queues import lease, outbox
from tests.crash.house import House
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

GOAL_S = 20.0  # the goal itself, not what the program is set to: a longer patience there fails here
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
    assert await house.product.wait_until_ended(timeout_s=GOAL_S + SLACK_S) == 0


async def _goes_on_afterwards(house: House) -> None:
    await house.product.start()
    await house.office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()


@asynccontextmanager
async def _held_on_its_way(house: House) -> AsyncIterator[None]:
    """What is claimed cannot be settled in the meantime: its rows are locked."""
    async with house.engine.connect() as connection:

        async def locked() -> bool:
            await connection.rollback()
            query = sa.select(outbox.c.id).where(outbox.c.state == "claimed").with_for_update(skip_locked=True)
            return bool((await connection.execute(query)).all())

        await eventually(locked, what="something is on its way")
        yield
        await connection.rollback()


def _listens(house: House) -> str:
    address, settings = f"127.0.0.1:{free_port()}", house.product.settings_file
    settings.write_text(f'{settings.read_text()}[web]\nmetrics_listen = "{address}"\n')
    return f"http://{address}"


async def _asked(address: str, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
        return answer.status, await answer.json()


async def test_a_program_that_is_told_to_stop_ends_what_is_on_its_way(small_house: House) -> None:
    """From the first moment on it takes no more work, and says so; it lives until the last has ended."""
    address = _listens(small_house)
    office = await small_house.open_office(agents=1, customers=2)
    office.talk()
    await small_house.goes_on(more=10)
    async with _held_on_its_way(small_house):
        assert (await _asked(address, "/readyz"))[0] == 200
        os.kill(small_house.product.pid, signal.SIGTERM)
        await eventually(lambda: "stopping" in small_house.product.log_text(), what="it is told to stop")
        status, told = await _asked(address, "/readyz")
        assert (status, told["process"]) == (503, "stopping")
        assert (await _asked(address, "/livez"))[0] == 200
        assert small_house.product.is_running
    assert await small_house.product.wait_until_ended(timeout_s=GOAL_S + SLACK_S) == 0
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
