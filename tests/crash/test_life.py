"""A conversation's life while the program is killed at each of its steps, and its servers crash under it. Every message
arrives once and in order, every card and pack is there once, no note gets out. Time is moved while the program is
down."""

from collections.abc import Mapping

import pytest

from tests.crash import chapters as said
from tests.crash import chapters_of_places as places
from tests.crash.house import House
from tests.crash.points import LIVED
from tests.crash.walk import Chapter, Walk, led_by

pytestmark = pytest.mark.crash


# By mutant the chapter in which its lack shows, and how.
BROKEN: Mapping[str, tuple[Chapter, str]] = {
    "timer_removed_first": (said.pause_and_wake, "nothing wakes it any more"),
    "hold_ignored": (said.taken_back, "taken back, and sent"),
}


async def _lives_through(walk: Walk, *chapters: Chapter) -> None:
    for chapter in chapters:
        walk.taken.clear()
        await chapter(walk)
        assert walk.taken == LIVED[chapter.__name__], "the table of crash points says otherwise"


@pytest.mark.usefixtures("five_times")
async def test_what_is_said_comes_through_kills_at_every_step(small_house: House) -> None:
    walk = await led_by(small_house)
    await _lives_through(walk, said.taken_back, said.corrected, said.said_later, said.reacted)
    await walk.judge()


@pytest.mark.long
@pytest.mark.usefixtures("five_times")
async def test_who_has_it_and_where_it_is_comes_through_kills_and_crashes_of_servers(house: House) -> None:
    walk = await places.first_start(house)
    assert walk.taken == LIVED["first_start"]
    await _lives_through(walk, said.pause_and_wake, places.somebody_joins, places.handed_over)
    await _lives_through(walk, places.in_a_room_of_its_own)
    await walk.judge()


@pytest.mark.long
@pytest.mark.usefixtures("five_times")
async def test_its_end_and_every_beginning_come_through_kills_and_crashes_of_servers(house: House) -> None:
    walk = await places.first_start(house)
    await _lives_through(walk, places.ended_and_begun_again, places.written_first, places.asked_and_given_out)
    await walk.judge(others=2)


@pytest.mark.long
@pytest.mark.parametrize("mutant", BROKEN)
async def test_a_broken_life_is_noticed(small_house: House, mutant: str) -> None:
    chapter, seen = BROKEN[mutant]
    walk = await led_by(small_house, mutant)
    with pytest.raises(AssertionError, match=seen):
        await chapter(walk)
