"""When the sends themselves say that the homeserver is back."""

from itertools import pairwise

from messenger.workers.reach import AWAY_S, LANES, LONGEST_REST_S, REST_S, Reach


def away(reach: Reach, since: float, *, lanes: int = LANES) -> float:
    """Returns when it is long enough."""
    for lane in range(lanes):
        reach.failed(f"lane {lane}", since)
    return since + AWAY_S


def test_the_first_that_gets_through_after_an_outage_says_so_once() -> None:
    reach = Reach()
    back = away(reach, 100)
    assert reach.is_back(back)
    assert not reach.is_back(back + REST_S)


def test_a_room_that_is_always_refused_is_no_outage() -> None:
    reach = Reach()
    for now in range(100):
        reach.failed("one lane", now)
    assert not reach.is_back(100)


def test_a_homeserver_that_refuses_every_other_call_is_not_away() -> None:
    reach = Reach()
    for now in range(0, 100, 2):
        away(reach, now)
        assert not reach.is_back(now + 2)


def test_one_that_comes_and_goes_is_not_asked_for_all_of_it_again_and_again() -> None:
    reach = Reach()
    back = away(reach, 0)
    assert reach.is_back(back)
    assert not reach.is_back(away(reach, back + 1))
    assert reach.is_back(back + REST_S), "nor is the second return forgotten"


def test_a_broken_room_of_many_lanes_is_soon_tried_no_more_often_than_by_its_own_pauses() -> None:
    reach = Reach()
    asked = [now for now in range(0, 7200, 6) if reach.is_back(away(reach, now))]
    assert len(asked) > 2
    assert min(later - sooner for sooner, later in pairwise(asked[5:])) >= LONGEST_REST_S
