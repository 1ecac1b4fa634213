"""A message that nobody can decrypt yet keeps its place: the thread shows a gap, and the message when its key comes."""

import pytest

from tests.crash.house import House
from tests.crash.slow_key import SlowKey
from tests.support.ledger import token_in
from tests.support.timeline import Seen
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash


async def _gap_marker(house: House) -> Seen:
    office = house.office
    return await office.agents[0].wait_for(
        office.room, lambda seen: seen.thread == office.matters[0].card and "its key is missing" in seen.body
    )


async def _bodies(house: House) -> list[str]:
    office = house.office
    everything = await office.agents[0].read_back(office.room)
    return [each.body for each in everything if each.thread == office.matters[0].card and token_in(each.body)]


async def test_a_message_whose_key_comes_soon_is_handled_in_its_place(small_house: House) -> None:
    office = await small_house.open_office(agents=1, customers=1)
    asks, key = office.matters[0].asks, SlowKey(office.matters[0], office.desk)
    await asks.write()
    office.matters[0].customer.device.rotate(office.matters[0].chat)
    await asks.write()
    await eventually(small_house.has_read_everything_sent, what="the desk has seen both")
    await key.hand_over()
    await small_house.drain()
    assert not await small_house.judge()
    assert [body for body in await _bodies(small_house) if "(late, written" in body] == []


@pytest.mark.parametrize(
    "restarted", [pytest.param(False, id="running", marks=pytest.mark.long), pytest.param(True, id="restarted")]
)
async def test_after_ten_seconds_the_lane_goes_on_behind_a_gap_marker(small_house: House, restarted: bool) -> None:
    office = await small_house.open_office(agents=1, customers=1)
    matter = office.matters[0]
    key = SlowKey(matter, office.desk)
    late = await matter.asks.write()
    matter.customer.device.rotate(matter.chat)
    next_one = await matter.asks.write()
    await eventually(small_house.has_read_everything_sent, what="the desk has seen both")
    if restarted:
        small_house.product.kill()
        await small_house.product.start()
    await _gap_marker(small_house)
    await office.agents[0].wait_for_text(office.room, next_one)
    assert not any(late in body for body in await _bodies(small_house))
    if restarted:
        small_house.product.kill()
    await key.hand_over()
    if restarted:
        await small_house.product.start()
    await small_house.drain()
    _first, second, third = await _bodies(small_house)
    assert (token_in(second), token_in(third)) == (next_one, late)
    assert "(late, written" in third and "(late, written" not in second
    await small_house.assert_books_balance()
