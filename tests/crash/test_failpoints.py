"""Exactly once, in order, whatever dies: the real program is killed at every crash point in turn, its homeserver and
its database in between, while customers and agents keep writing in encrypted rooms."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from messenger.domain.replies import MARKERS, Fate
from tests.crash.house import House
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

Stimulus = Callable[[House], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Point:
    """Where to die: at the `nth` hit. `before` makes sure that the point is reached."""

    name: str
    nth: int = 1
    before: Stimulus | None = None
    program: Sequence[str] | None = None

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.nth}"


async def _newcomer(house: House) -> None:
    house.office.let_in()


async def _gap(house: House) -> None:
    """More than one timeline holds."""
    await house.office.burst(house.office.matters[0].asks, 60)


async def _keys_run_out(house: House) -> None:
    await house.office.take_one_time_keys(40)


# The healthy program with crash points of more certain aim; see there.
OBSERVED = ("-m", "tests.crash.mutants", "none")
POINTS = (
    Point("sync_received", 3), Point("todevice_saved", 2, _newcomer), Point("gap_page", 1, _gap), Point("decrypted", 2),
    Point("inbox_inserted", 2), Point("token_written", 2), Point("ingest_committed", 2),
    Point("inbox_claimed", 3), Point("conversation_locked", 3), Point("event_appended", 2), Point("effect_written", 3),
    Point("outbox_inserted", 2), Point("process_committed", 4),
    Point("outbox_claimed", 2), Point("olm_claimed", 1, _newcomer), Point("keys_encrypted", 1, _newcomer),
    Point("keys_ready", 1, _newcomer, OBSERVED), Point("keys_put", 1), Point("megolm_encrypted", 2),
    Point("http_inflight", 4), Point("http_answered", 3), Point("sent_marked", 2), Point("send_committed", 3),
    Point("relayed", 2, None, OBSERVED), Point("downloaded", 2), Point("uploaded", 2),
    Point("sk_created", 1, _newcomer), Point("dek_wrapped", 2, _newcomer),
    Point("otk_saved", 1, _keys_run_out), Point("otk_uploaded", 1, _keys_run_out),
)  # fmt: skip


async def test_no_message_is_lost_doubled_or_moved_whatever_dies(house: House) -> None:
    office = await house.open_office()
    house.product.kill()
    office.talk()
    for number, point in enumerate(POINTS):
        if point.before:
            await point.before(house)
        await house.dies_at(point.spec, program=point.program)
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
    small_house.product.kill()
    arriving = asyncio.create_task(office.open(claimed=False))
    await small_house.dies_at("card_posted:1", program=OBSERVED)
    matter = await arriving
    note = await matter.agent.say(office.room, "// between us", thread=matter.card)
    await small_house.product.start()
    kept = (note, MARKERS[Fate.KEPT])
    await eventually(lambda: kept in [(each.target, each.key) for each in matter.agent.reactions(office.room)], 60)


@pytest.mark.long
async def test_the_long_run(house: House) -> None:
    """Goal G1: every crash point five times, 300 kills at random moments, 20 crashes of each server."""
    office = await house.open_office(customers=5)
    house.product.kill()
    office.talk()
    for times in range(5):
        for point in POINTS:
            if point.before:
                await point.before(house)
            await house.dies_at(f"{point.name}:{point.nth + times % 2}", program=point.program, timeout_s=240)
    dice = random.Random(2026)
    for kill in range(300):
        await house.dies_in_time(dice.uniform(0.0, 4.0))
        if kill % 15 in (4, 11):
            await _a_server_crashes(house, house.crash_homeserver if kill % 15 == 4 else house.crash_database)
    await house.product.start()
    await office.hush()
    await house.drain()
    assert not await house.judge()
    await house.assert_books_balance()
