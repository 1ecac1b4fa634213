"""Token buckets as arithmetic."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.app.pace import Pace
from messenger.domain.limits import LONGEST, Limit, Scope, take

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
LIMIT = Limit(per_minute=20, burst=10)


def dues(limit: Limit, moments: list[datetime]) -> list[datetime]:
    full_at, due = None, []
    for moment in moments:
        taken = take(limit, full_at, moment)
        full_at = taken.full_at
        due.append(taken.due)
    return due


def test_ten_go_at_once_and_then_one_every_three_seconds() -> None:
    waits = [(due - NOW).total_seconds() for due in dues(LIMIT, [NOW] * 14)]
    assert waits == [0] * 10 + [3, 6, 9, 12]


def test_after_a_quiet_time_the_bucket_is_full_again() -> None:
    later = NOW + timedelta(seconds=30)
    assert dues(LIMIT, [NOW] * 10 + [later] * 11)[10:] == [later] * 10 + [later + timedelta(seconds=3)]


def test_who_keeps_to_the_limit_never_waits() -> None:
    moments = [NOW + n * LIMIT.interval for n in range(1_000)]
    assert dues(LIMIT, moments) == moments


# At six a minute sixty at once wait less than LONGEST, which nobody waits beyond.
@given(st.integers(6, 600), st.integers(1, 50), st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=60))
def test_in_no_minute_go_more_than_the_limit_and_nobody_overtakes(rate: int, burst: int, gaps: list[float]) -> None:
    limit, moment, moments = Limit(per_minute=rate, burst=burst), NOW, []
    for gap in gaps:
        moment += timedelta(seconds=gap)
        moments.append(moment)
    going = dues(limit, moments)
    assert all(due >= at for due, at in zip(going, moments, strict=True))
    for first in going:
        within = [due for due in going if first <= due < first + timedelta(minutes=1)]
        assert len(within) <= rate + burst
    assert going == sorted(going)


def test_a_clock_that_is_set_back_changes_no_wait() -> None:
    pace, key, back = Pace(limits={Scope.CONTACT: LIMIT}), uuid4(), timedelta(hours=1)
    for _ in range(10):
        pace.take(Scope.CONTACT, key, NOW)
    assert pace.take(Scope.CONTACT, key, NOW - back) == NOW - back + LIMIT.interval


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=400)])
def test_a_bucket_of_another_clock_keeps_nobody_waiting_for_long(back: timedelta) -> None:
    taken = take(LIMIT, NOW + back, NOW)
    assert taken.due <= NOW + LONGEST + LIMIT.interval
