"""Exactly once, in order, whatever dies: the real program is killed at every crash point in turn, its homeserver and
its database in between, while customers and agents keep writing in encrypted rooms."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from messenger.domain.replies import MARKERS, Fate
from tests.crash.house import House
from tests.crash.points import OBSERVED, WALKED
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


async def test_no_message_is_lost_doubled_or_moved_whatever_dies(house: House) -> None:
    office = await house.open_office()
    house.product.kill()
    office.talk()
    for number, point in enumerate(WALKED):
        await house.dies_at(point.spec, program=point.program, stimulus=point.before)
        if number % 12 in (5, 8):
            await _a_server_crashes(house, house.crash_homeserver if number % 12 == 5 else house.crash_database)
    await house.product.start()
    await office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()


async def _a_server_crashes(house: House, crash: Callable[[], Awaitable[None]]) -> None:
    """The product lives on, and goes on working when the server is back."""
    await house.product.start()
    await crash()
    await house.goes_on()
    assert house.product.is_running
    house.product.kill()


async def test_a_note_under_a_card_that_the_desk_has_not_noted_yet_is_not_lost(small_house: House) -> None:
    office = await small_house.open_office(agents=1, customers=1)
    await small_house.drain()  # or the first customer's card may be posted again, and be the one to die at
    small_house.product.kill()
    arriving = asyncio.create_task(office.open(claimed=False))
    await small_house.dies_at("card_posted:1", program=OBSERVED)
    matter = await arriving
    note = await matter.agent.say(office.room, "// between us", thread=matter.card)
    await small_house.product.start()
    kept = (note, MARKERS[Fate.KEPT])
    await eventually(lambda: kept in [(each.target, each.key) for each in matter.agent.reactions(office.room)], 60)
