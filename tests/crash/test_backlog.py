"""What customers write while the product is down is there afterwards: all of it, in order, also where a timeline
is too short for it."""

import asyncio

import pytest

from tests.crash.house import House
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


async def test_a_backlog_of_ten_customers_arrives_completely_and_in_order(small_house: House) -> None:
    office = await small_house.open_office(agents=1, customers=10)
    small_house.product.kill()
    first, *others = [matter.asks for matter in office.matters]
    await asyncio.gather(office.burst(first, 64), *(office.burst(lane, 4) for lane in others))
    assert office.ledger.count == 110
    await small_house.product.start()
    await small_house.drain()
    assert not await small_house.judge()
    await small_house.assert_books_balance()


async def test_what_a_customer_wrote_before_the_desk_came_in_arrives_too(small_house: House) -> None:
    """The invitation waits while the product is down; the customer has written more than one timeline holds."""
    office = await small_house.open_office(agents=1, customers=1)
    small_house.product.kill()
    arriving = asyncio.create_task(office.open(early=60))
    await eventually(lambda: len(office.ledger.sent.get("c2", ())) == 60, 60, what="the customer has written")
    await small_house.product.start()
    await arriving
    await small_house.drain()
    assert not await small_house.judge()
    await small_house.assert_books_balance()
