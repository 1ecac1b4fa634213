"""Tests of the tests: with one guarantee taken out, the oracle must see the damage; without, the same scenario is
clean."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.crash.house import House
from tests.crash.slow_key import SlowKey
from tests.support.timeline import RoomView
from tests.support.waiting import eventually

pytestmark = pytest.mark.crash

STUMBLE = {"STELLWERK_STUMBLE": "1"}
GIVE_UP_S = 6.0  # without progress: what is missing by then is lost


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` brings the program to the point where the rule of the mutant matters; `damage` is what its lack does."""

    mutant: str
    damage: str
    play: Callable[[House, str], Awaitable[None]]


def _program(name: str) -> tuple[str, ...]:
    return ("-m", "tests.crash.mutants", name)


async def _dies(house: House, mutant: str, point: str) -> None:
    await house.dies_at(point, program=_program(mutant))


async def _write(house: House, count: int = 1) -> None:
    await house.office.burst(house.office.matters[0].asks, count)


async def _before_the_rows_are_committed(house: House, mutant: str) -> None:
    await _write(house, 3)
    await _dies(house, mutant, "inbox_inserted:1")


async def _between_rows_and_keys(house: House, mutant: str) -> None:
    matter = house.office.matters[0]
    matter.customer.device.rotate(matter.chat)
    await _write(house)
    await _dies(house, mutant, "keys_not_saved:1" if mutant != "none" else "ingest_committed:1")
    await _write(house)


async def _before_a_key_is_committed(house: House, mutant: str) -> None:
    matter = house.office.matters[0]
    matter.customer.device.rotate(matter.chat)
    await _write(house)
    await _dies(house, mutant, "acknowledged:1" if mutant != "none" else "todevice_saved:1")
    await _write(house)


async def _after_a_send_before_its_note(house: House, mutant: str) -> None:
    await _write(house)
    await _dies(house, mutant, "relayed:1")


async def _the_first_of_three_stumbles(house: House, mutant: str) -> None:
    await _write(house, 3)
    await house.product.start(environment=STUMBLE, program=_program(mutant))


async def _more_than_a_timeline_holds(house: House, mutant: str) -> None:
    await _write(house, 60)


async def _a_key_comes_late(house: House, mutant: str) -> None:
    key = SlowKey(house.office.matters[0], house.office.desk)
    await _write(house)
    await house.product.start(program=_program(mutant))
    answer = await house.office.matters[0].answers.write()
    await eventually(lambda: house.has_read(answer), what="the desk has seen what came before")
    await key.hand_over()
    await _write(house)


async def _the_homeserver_repeats_a_ciphertext(house: House, mutant: str) -> None:
    await _write(house)
    matter = house.office.matters[0]
    event_id = house.office.ledger.events[house.office.ledger.sent["c1"][-1]]
    room: RoomView = matter.customer.rooms[matter.chat]
    event = await eventually(lambda: room.events.get(event_id))
    await matter.customer._room_call(
        "PUT", matter.chat, "send", "m.room.encrypted", uuid.uuid4().hex, body=dict(event["content"])
    )
    await _write(house)


async def _restarted_between_two_texts(house: House, mutant: str) -> None:
    await house.product.start(program=_program(mutant))
    await _write(house, 3)
    await house.drain(patience_s=GIVE_UP_S)
    house.product.kill()
    await _write(house, 2)


async def _before_a_newcomer_gets_the_key(house: House, mutant: str) -> None:
    known = len(house.office.matters)
    house.office.let_in()
    await _dies(house, mutant, "keys_ready:1")
    await house.product.start(program=_program(mutant))
    matter = await eventually(lambda: house.office.matters[known] if len(house.office.matters) > known else None, 60)
    await matter.answers.write()


SCENARIOS = (
    Scenario("token_first", "lost", _before_the_rows_are_committed),
    Scenario("token_before_flush", "lost", _between_rows_and_keys),
    Scenario("ack_before_commit", "lost", _before_a_key_is_committed),
    Scenario("random_txn", "doubled", _after_a_send_before_its_note),
    Scenario("no_head_of_line", "disordered", _the_first_of_three_stumbles),
    Scenario("no_gap_fill", "lost", _more_than_a_timeline_holds),
    Scenario("drop_waiting_key", "lost", _a_key_comes_late),
    Scenario("skip_megolm_seen", "doubled", _the_homeserver_repeats_a_ciphertext),
    Scenario("ratchet_after_put", "reused", _restarted_between_two_texts),
    Scenario("share_before_put", "lost", _before_a_newcomer_gets_the_key),
)


async def _played(house: House, scenario: Scenario, mutant: str) -> None:
    await scenario.play(house, mutant)
    if not house.product.is_running:
        await house.product.start(program=_program(mutant))
    await house.drain(patience_s=GIVE_UP_S)


_QUICK = {"token_first", "random_txn", "no_head_of_line"}


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=each.mutant, marks=[] if each.mutant in _QUICK else pytest.mark.long) for each in SCENARIOS],
)
async def test_the_oracle_sees_what_is_broken(small_house: House, scenario: Scenario) -> None:
    await small_house.open_office(agents=1, customers=1)
    await small_house.drain()
    small_house.product.kill()
    await _played(small_house, scenario, scenario.mutant)
    assert scenario.damage in (await small_house.judge()).kinds


@pytest.mark.long
async def test_the_healthy_program_comes_through_all_of_it(small_house: House) -> None:
    await small_house.open_office(agents=1, customers=1)
    for scenario in SCENARIOS:
        small_house.product.kill()
        await _played(small_house, scenario, "none")
        assert not await small_house.judge(), f"after the scenario of {scenario}"
    await small_house.assert_books_balance()
