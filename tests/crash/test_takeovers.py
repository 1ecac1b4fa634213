"""A desk that changes its process again and again while customers write and agents answer: the owner is killed, or
stands still and wakes up when another is the desk, at crash points and at random moments; the standby follows by the
lease.

`TAKEOVERS=60 pytest -m "" tests/crash/test_takeovers.py` plays more of them."""

import logging
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from messenger.config.sections.limits import Limits
from messenger.demo.synapse import Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.crash.house import House
from tests.crash.points import WALKED, Point
from tests.crash.succession import Fate, Succession, lease_of
from tests.support.people import Person
from tests.support.product import Product
from tests.support.waiting import eventually

pytestmark = [pytest.mark.crash, pytest.mark.long]
log = logging.getLogger(__name__)

TAKEOVERS = int(os.environ.get("TAKEOVERS", "20"))
TIMED = 5
GOAL_S = 25.0  # design, G13
LONGEST_LIFE_S = 4.0  # of an owner that ends at a random moment
CALM_MESSAGES = 40


def fates(count: int) -> Iterator[Fate]:
    """Killed twice, stopped twice: at a random moment and at a point. Every second random moment waits for messages
    first, so that the successor has really worked; the others may be in the middle of its start."""
    dice = random.Random(2026)
    points: list[Point] = []
    for number in range(count):
        is_stopped, is_point = number % 4 > 1, number % 2 == 1
        points = points or dice.sample((Point("lease_taken"), *WALKED), len(WALKED) + 1)
        if is_point:
            yield Fate(point=points.pop(), is_stopped=is_stopped)
        else:
            messages = CALM_MESSAGES if number % 8 in (0, 6) else 0
            yield Fate(messages=messages, after_s=dice.uniform(0.0, LONGEST_LIFE_S), is_stopped=is_stopped)


async def test_nothing_is_lost_doubled_or_moved_while_the_desk_changes_its_process(house: House) -> None:
    async with Succession.of(house) as succession:
        office = await house.open_office(customers=4)
        office.talk()
        took = await _changes_hands(succession, [*fates(TAKEOVERS), Fate()])
        await house.goes_on(more=CALM_MESSAGES)
        await office.hush()
        await house.drain()
        damage, epoch = await house.judge(), (await lease_of(house)).epoch
        _tell(succession, took)
        assert not damage
        assert not office.in_the_clear()
        assert not await succession.written_by_the_followed()
        await house.assert_books_balance()
    assert epoch == TAKEOVERS + 1
    assert len(succession.missed) <= TAKEOVERS / 10


async def _changes_hands(succession: Succession, ends: Sequence[Fate]) -> dict[str, list[float]]:
    """Those that stand still wake up when the next is at work, or when that one has been followed, too."""
    took, asleep = defaultdict[str, list[float]](list), list[Product]()
    for number, (end, next_end) in enumerate(pairwise(ends)):
        await succession.one_stands_by(next_end)
        former = succession.house.product
        await succession.owner_ends(end)
        took["stopped" if end.is_stopped else "killed"].append(await succession.is_followed())
        log.warning("take-over %d: %s", number + 1, end)
        asleep += [former] if end.is_stopped else []
        if number % 4 != 2:
            while asleep:
                await succession.wakes_up_to_nothing(asleep.pop(0))
    return took


def _tell(succession: Succession, took: dict[str, list[float]]) -> None:
    ledger = succession.house.office.ledger
    answers = sum(len(sent) for lane, sent in ledger.sent.items() if lane.startswith("a"))
    files = sum(bool(digest) for digest in ledger.digests.values())
    log.warning("messages %d, answers %d, files %d; load %.1f", ledger.count, answers, files, os.getloadavg()[0])
    for how, seconds in took.items():
        log.warning("%d owners %s; the lease was taken after %s s", len(seconds), how, _listed(seconds))
    if succession.missed:
        log.warning("points not reached: %s", ", ".join(succession.missed))


async def test_a_killed_desk_is_followed_in_time_with_the_lease_of_installations(
    tmp_path: Path, own_synapse: Synapse, own_postgres: EmbeddedPostgres
) -> None:
    """Killed when it has just renewed its lease, which makes the longest wait."""
    url = await own_postgres.create_database("stellwerk")
    lease_s = Limits().lease_seconds
    async with House.build(tmp_path, own_synapse, own_postgres, url, lease_s=lease_s, is_alone=True) as house:
        async with Succession.of(house) as succession:
            await house.open_office(agents=1, customers=2)
            arrived, answered = await _are_timed(succession)
            await house.drain()
            damage = await house.judge()
        log.warning("lease of %g s; load %.1f", lease_s, os.getloadavg()[0])
        log.warning("kill to the first message in the thread: %s s", _listed(arrived))
        log.warning("kill to the first answer at the customer: %s s", _listed(answered))
        assert not damage
        assert max(answered) <= GOAL_S


async def _are_timed(succession: Succession) -> tuple[list[float], list[float]]:
    """What the customer says after the kill is the first that the standby has to do."""
    arrived, answered = list[float](), list[float]()
    for _ in range(TIMED):
        await succession.one_stands_by(Fate())
        await succession.lease_is_renewed()
        succession.house.product.kill()
        to_thread, to_customer = await _asks(succession.house, time.monotonic())
        arrived.append(to_thread)
        answered.append(to_customer)
        await succession.is_followed()
    return arrived, answered


async def _asks(house: House, since: float) -> tuple[float, float]:
    """Seconds until what a customer says now is in the thread, and until they have the answer to it."""
    matter = house.office.matters[0]
    question = await matter.asks.write()
    await _reads(matter.agent, house.office.room, question, thread=matter.card)
    arrived = time.monotonic() - since
    answer = await matter.answers.write()
    await _reads(matter.customer, matter.chat, answer)
    return arrived, time.monotonic() - since


async def _reads(person: Person, room: str, token: str, *, thread: str | None = None) -> None:
    def is_there() -> bool:
        relayed = (event for event in person.events(room)[-200:] if event.sender != person.user_id)
        return any(token in event.body and event.thread == thread for event in relayed)

    await eventually(is_there, 120, what=f"{person.name} has {token}")


def _listed(seconds: Sequence[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in seconds)
