"""The nightly series: hundreds of kills, at every crash point five times and at random moments, crashes of both
servers, thousands of messages in both directions, all of them encrypted, files among them. Nothing is lost, doubled or
moved.

`make kills` plays it whole; `make kills KILLS=60` a part in proportion."""

import logging
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from tests.crash.house import House, NotReached
from tests.crash.office import Office
from tests.crash.points import WALKED, Point
from tests.support.homeservers import branches_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.crash, pytest.mark.long]
log = logging.getLogger(__name__)

KILLS = int(os.environ.get("KILLS", "500"))
MESSAGES_A_KILL = 40
ROUNDS = 5  # of all points, in the whole series
SERVERS_EVERY = 25  # kills: then each server has crashed once
CALM_EVERY = 5  # kills: then the messages catch up
PATIENCE_S = 240.0
LONGEST_LIFE_S = 4.0  # of a program that dies at a random moment


def moments(kills: int) -> Iterator[Point | float]:
    """Where to die: a point, or so many seconds after the start. Points and chance take turns in the same proportion
    all the way, so that a short series has both."""
    dice = random.Random(2026)
    points = [_in_round(point, times) for times in range(ROUNDS) for point in WALKED]
    share = min(1.0, len(points) / 500)
    for number in range(kills):
        is_point = int(share * (number + 1)) > int(share * number)
        yield points.pop(0) if is_point and points else dice.uniform(0.0, LONGEST_LIFE_S)


def _in_round(point: Point, times: int) -> Point:
    """A little later every second time. Where one stimulus brings one hit it stays the first."""
    return point if point.before else replace(point, nth=point.nth + times % 2)


@dataclass(slots=True)
class Figures:
    """Told on the way, so that they are known whatever becomes of the rest."""

    office: Office
    began: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    missed: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] += time.monotonic() - began

    def tell(self, what: str) -> None:
        ledger = self.office.ledger
        files = sum(bool(digest) for digest in ledger.digests.values())
        answers = sum(len(sent) for lane, sent in ledger.sent.items() if lane.startswith("a"))
        now = {"messages": ledger.count, "answers": answers, "files": files, "customers": len(self.office.matters)}
        now["branches of the group's room"] = branches_of(self.office.people.synapse, self.office.room)
        log.warning("series, %s: %s; load %.1f", what, _listed({**self.done, **now}), os.getloadavg()[0])
        whole = round(time.monotonic() - self.began)
        log.warning("seconds: %d, of them %s", whole, _listed(self.seconds))
        if self.missed:
            log.warning("points not reached: %s", ", ".join(self.missed))


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{round(value)} {name}" for name, value in figures.items())


async def test_nothing_is_lost_doubled_or_moved_in_the_whole_series(house: House) -> None:
    figures = Figures(await house.open_office(customers=5))
    house.product.kill()
    figures.office.talk()
    try:
        await _is_killed_again_and_again(house, figures)
        figures.tell("all kills")
        await _ends(house, figures)
        figures.tell("all arrived")
        with figures.timed("the account"):
            damage = await house.judge()
    finally:
        figures.tell("the end")
    assert not damage
    await house.assert_books_balance()
    assert len(figures.missed) <= KILLS / 50, "the walk takes each point; here chance has a hand in it"
    assert figures.office.ledger.count >= KILLS * MESSAGES_A_KILL


async def _is_killed_again_and_again(house: House, figures: Figures) -> None:
    for number, moment in enumerate(moments(KILLS), 1):
        await _dies(house, moment, figures)
        if number % SERVERS_EVERY == 0:
            figures.tell(f"{number} of {KILLS} kills")
        if number % SERVERS_EVERY in (12, 24):
            with figures.timed("servers"):
                await _a_server_crashes(house, figures.done, is_homeserver=number % SERVERS_EVERY == 12)
        elif number % CALM_EVERY == 0:
            with figures.timed("catching up"):
                await _catches_up(house, number * MESSAGES_A_KILL)


async def _ends(house: House, figures: Figures) -> None:
    with figures.timed("catching up"):
        await _catches_up(house, KILLS * MESSAGES_A_KILL)
    with figures.timed("the last drain"):
        await house.product.start()
        await figures.office.hush()
        await house.drain()


async def _dies(house: House, moment: Point | float, figures: Figures) -> None:
    """A point is not reached if another was faster than the newcomer whom it needs, or nobody came by. Then it dies
    where it is."""
    if not isinstance(moment, Point):
        with figures.timed("random moments"):
            await house.dies_in_time(moment)
        figures.done["at random"] += 1
        return
    try:
        with figures.timed("points"):
            await house.dies_at(moment.spec, program=moment.program, stimulus=moment.before)
        figures.done["at points"] += 1
    except NotReached as missed:
        log.warning("series: %s", missed)
        house.product.kill()
        figures.missed.append(moment.spec)


async def _a_server_crashes(house: House, done: Counter[str], *, is_homeserver: bool) -> None:
    """The product lives on, and goes on working when the server is back."""
    await house.product.start()
    await (house.crash_homeserver() if is_homeserver else house.crash_database())
    await house.goes_on()
    assert house.product.is_running
    house.product.kill()
    done["homeserver" if is_homeserver else "database"] += 1


async def _catches_up(house: House, count: int) -> None:
    """People write as fast as they are heard, so the program must live for a while."""
    await house.product.start()
    ledger = house.office.ledger
    # That something is written is progress enough: asking the database twice a second costs more with every message.
    await eventually(lambda: ledger.count >= count, PATIENCE_S, progress=lambda: ledger.count, what=f"{count} messages")
    house.product.kill()


def test_the_whole_series_has_every_point_five_times() -> None:
    whole = Counter(moment.name for moment in moments(500) if isinstance(moment, Point))
    assert set(whole.values()) == {ROUNDS} and len(whole) == len(WALKED)
