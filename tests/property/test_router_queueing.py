"""The router in a virtual day against the exact answers of queueing theory."""

import pytest

from tests.support.queueing import erlang_c, fcfs_alis
from tests.support.routing_world import World, z_scores

THREE_TYPES = World(
    rates=(0.9, 0.8, 0.7), can_serve=({0}, {0, 1}, {1, 2}, {2}, {0, 1, 2}), service_rates=(0.7, 0.8, 0.6, 0.5, 0.9)
)
TWO_TYPES = World(rates=(0.7, 0.6), can_serve=({0}, {0, 1}), service_rates=(1, 1))
TWELVE = World(
    rates=(2.3, 2.2, 2.4, 2.1),
    can_serve=({2, 3}, {2, 3}, {0, 1}, {1, 2}, {0, 3}, {0, 1}, {0, 3}, {2, 3}, {0, 2}, {0, 1}, {1, 3}, {0, 2}),
    service_rates=(1.33, 1.21, 0.73, 1.24, 0.71, 1.09, 0.70, 0.60, 1.30, 0.77, 0.77, 1.39),
)
ONE_TYPE = World(rates=(9,), can_serve=({0},) * 10, service_rates=(1,) * 10)
TWENTY = World(rates=(18,), can_serve=({0},) * 20, service_rates=(1,) * 20)


@pytest.mark.parametrize(
    ("world", "p_wait", "mean_wait", "within"),
    [
        (THREE_TYPES, (0.4173044, 0.4915041, 0.4316512), (0.4500670, 0.5709994, 0.5147157), 1e-6),
        (TWO_TYPES, (0.4532567, 0.7770115), (0.6475096, 2.2662835), 1e-6),
        (TWELVE, (0.34002, 0.47528, 0.32661, 0.39214), (0.13772, 0.25716, 0.12593, 0.17742), 1e-5),
        (ONE_TYPE, (0.6687315,), (0.6687315,), 1e-6),
    ],
)
def test_the_recursion_gives_the_published_values(
    world: World, p_wait: tuple[float, ...], mean_wait: tuple[float, ...], within: float
) -> None:
    answer = fcfs_alis(world.rates, world.can_serve, world.service_rates)
    assert answer.p_wait == pytest.approx(p_wait, abs=within)
    assert answer.mean_wait == pytest.approx(mean_wait, abs=within)


def test_erlang_c_gives_the_published_values_and_agrees_with_the_recursion() -> None:
    assert erlang_c(18, 1, 20) == pytest.approx((0.5507690, 0.2753845), abs=1e-6)
    answer = fcfs_alis(ONE_TYPE.rates, ONE_TYPE.can_serve, ONE_TYPE.service_rates)
    assert erlang_c(9, 1, 10) == pytest.approx((answer.p_wait[0], answer.mean_wait[0]), abs=1e-9)


def test_the_router_waits_as_the_product_form_says() -> None:
    _agrees(THREE_TYPES, runs=10, seconds=1_500)


def test_the_router_waits_as_erlang_c_says() -> None:
    scores = z_scores(TWENTY, [erlang_c(18, 1, 20)], runs=10, seconds=200)
    assert max(map(abs, scores)) < 2.6, scores


@pytest.mark.long
@pytest.mark.parametrize(("world", "seconds"), [(THREE_TYPES, 20_000), (TWELVE, 5_000)])
def test_the_router_waits_as_the_product_form_says_in_long_runs(world: World, seconds: float) -> None:
    _agrees(world, runs=20, seconds=seconds)


def _agrees(world: World, runs: int, seconds: float) -> None:
    answer = fcfs_alis(world.rates, world.can_serve, world.service_rates)
    exact = list(zip(answer.p_wait, answer.mean_wait, strict=True))
    scores = z_scores(world, exact, runs, seconds)
    assert max(map(abs, scores)) < 2.6, scores
