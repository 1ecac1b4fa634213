"""Whether a program grows is told from its samples."""

import math

from benchmarks.parts.vitals import Sample, after_warm_up, rise, slope_mb_per_minute


def samples(*sizes: float) -> list[Sample]:
    return [Sample(at_s=10.0 * n, rss_mb=size, fds=40, connections=12) for n, size in enumerate(sizes)]


def test_a_leak_of_two_megabytes_a_minute_is_seen_through_the_ups_and_downs_of_work() -> None:
    leaking = [150 + 2 * n / 6 + (5 if n % 3 else -5) for n in range(180)]
    assert 1.9 < slope_mb_per_minute(samples(*leaking)) < 2.1


def test_work_that_goes_up_and_down_is_no_leak() -> None:
    assert abs(slope_mb_per_minute(samples(*(150 + (5 if n % 3 else -5) for n in range(180))))) < 0.05


def test_a_single_look_says_nothing_of_growth() -> None:
    assert math.isnan(slope_mb_per_minute(samples(150)))
    assert math.isnan(slope_mb_per_minute([]))


def test_what_is_taken_in_the_first_fifth_of_the_time_is_no_leak() -> None:
    grown = samples(*(range(100, 160, 6)), *[160] * 40)
    assert slope_mb_per_minute(grown) > 1
    assert slope_mb_per_minute(after_warm_up(grown, whole_s=500)) == 0


def test_the_last_fifth_is_compared_with_the_first() -> None:
    assert rise([40, 44, 41, 47, 60, 41, 42, 44, 41, 42]) == -2
    assert rise([40, 40, 42, 44, 45, 47, 48, 49, 50, 52]) == 12
    assert rise([40]) == 0
