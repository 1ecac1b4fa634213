"""Automatic assignment on a real database: who gets what, when, and what is kept of the reasons."""

import random
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.thread import PostContext, PostPack
from messenger.domain.conversation import State, fold
from messenger.domain.events import ConversationAssigned, ConversationClaimed
from messenger.domain.ids import ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.capacity import DEFAULT_WEIGHING, Held, Turn, load
from messenger.storage.models.conversations import conversation
from tests.integration.routing_house import RoutingHouse

ANNA, BEN, CEM = "@anna.staff:x", "@ben:x", "@cem:x"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def house(database: AsyncEngine) -> RoutingHouse:
    return RoutingHouse(database)


async def test_what_comes_is_given_to_who_is_longest_idle_and_the_reason_is_kept(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA, BEN])
    await house.capacity({ANNA: 1, BEN: 1})
    first = await house.customer("tax", 1)
    await house.work(1)
    owner = await house.owner(first)
    other = BEN if owner == ANNA else ANNA
    house.now += MINUTE
    second = await house.customer("tax", 2)
    await house.work(1)
    assert await house.owner(second) == other
    state, log = await house.state_and_log(second)
    assert isinstance(log[-1].event, ConversationAssigned) and log[-1].event.reason == "routed"
    assert log[-1].actor == "router" and fold(log) == state
    told = (await house.decision(second)).explanation
    assert (told["reason"], told["free"], told["of"]) == ("chosen", 1, 2)
    house.now += MINUTE
    await house.writes(other, 2, "!resolve")
    await house.work(1)
    await house.writes(str(owner), 1, "!resolve")
    house.now += MINUTE
    await house.work(1)
    third = await house.customer("tax", 3)
    await house.work(1)
    assert await house.owner(third) == other, "longer without anything in hand"


async def test_nobody_lacking_a_skill_a_role_or_availability_is_given_anything(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA, BEN], required_skills={"vat": 3})
    await house.change.add_member("tax", CEM, "clerk")
    for address, level in ((ANNA, 2), (BEN, 3), (CEM, 5)):
        await house.change.set_skill(address, "vat", level)
    await house.change.set_status(BEN, Availability.MEETING, "")
    id = await house.customer("tax", 1)
    await house.work(1)
    assert await house.owner(id) is None
    assert (await house.decision(id)).explanation["reason"] == "availability"
    await house.change.set_status(BEN, Availability.AVAILABLE, "")
    await house.work(1)
    assert await house.owner(id) == BEN


async def test_a_skill_that_has_run_out_is_none(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA], required_skills={"vat": 1})
    await house.change.set_skill(ANNA, "vat", 5, valid_to=house.now)
    id = await house.customer("tax", 1)
    await house.work(1)
    assert (await house.decision(id)).explanation["reason"] == "skills"
    await house.change.set_skill(ANNA, "vat", 5, valid_to=house.now + MINUTE)
    await house.work(1)
    assert await house.owner(id) == ANNA


async def test_freed_capacity_gives_out_the_first_that_waits_and_a_standing_queue_writes_nothing(
    house: RoutingHouse,
) -> None:
    await house.group("tax", [ANNA])
    await house.capacity({ANNA: 1})
    ids = [await house.customer("tax", number) for number in range(4)]
    await house.work(2)
    assert [await house.owner(id) for id in ids] == [ANNA, None, None, None]
    kept = await house.decisions()
    assert kept == 4, "one for who was given out, one for each that waits"
    await house.change.set_capacity(ANNA, 1)
    await house.work(1)
    assert await house.decisions() == kept
    await house.writes(ANNA, 0, "!resolve")
    await house.work(2)
    assert [await house.owner(id) for id in ids[1:]] == [ANNA, None, None]


async def test_an_answer_frees_room_and_the_clock_frees_the_rest(house: RoutingHouse) -> None:
    """Waiting for the customer weighs a fifth for an hour, then nothing."""
    await house.group("tax", [ANNA])
    await house.capacity({ANNA: 1.2})
    ids = [await house.customer("tax", number) for number in range(3)]
    await house.work(1)
    assert await house.timers("load") == 0, "it is our turn: no clock frees anybody"
    await house.writes(ANNA, 0, "Please send the form.")
    await house.work(1)
    assert [await house.owner(id) for id in ids] == [ANNA, ANNA, None]
    await house.writes(ANNA, 1, "And you the other one.")
    await house.work(1)
    assert (await house.loads("tax"))[ANNA] == (pytest.approx(0.4), 1.2)
    assert await house.owner(ids[2]) is None
    assert await house.tick(59 * MINUTE) == 0
    assert await house.tick(MINUTE) >= 1
    await house.work(1)
    assert await house.owner(ids[2]) == ANNA


async def test_who_gave_it_back_does_not_get_it_again(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA])
    id = await house.customer("tax", 1)
    await house.work(1)
    await house.writes(ANNA, 1, "!release")
    await house.work(1)
    assert await house.owner(id) is None
    assert (await house.decision(id)).explanation["reason"] == "declined"
    await house.change.add_member("tax", BEN, "agent")
    await house.work(1)
    assert await house.owner(id) == BEN


async def test_a_group_that_becomes_automatic_gives_out_what_waits(house: RoutingHouse) -> None:
    await house.group("tax", [ANNA], assignment="manual")
    id = await house.customer("tax", 1)
    await house.work(1)
    assert await house.owner(id) is None
    await house.change.change_settings("tax", {"assignment": "automatic"})
    await house.work(1)
    assert await house.owner(id) == ANNA


async def test_loads_of_the_database_are_those_of_the_rule(house: RoutingHouse) -> None:
    """Paused and resolved ones weigh nothing; the others by their turn and the clock."""
    await house.group("tax", [ANNA])
    await house.capacity({ANNA: 50})
    held = []
    for number, said in enumerate(["", "Answered long ago.", "", "!pause until reply", "!resolve", "Answered now."]):
        await house.customer("tax", number)
        await house.work(1)
        if said:
            await house.writes(ANNA, number, said)
            await house.work(1)
        turn = Turn.OURS if not said else Turn.PAUSED if said.startswith("!") else Turn.CUSTOMERS
        held.append(Held(weight=1, turn=turn, since=house.now))
        house.now += 40 * MINUTE
        [serving] = await house.serving("tax")
        assert serving.person.load == pytest.approx(load(held, house.now))
        falls = [each.inactive_at for each in held if each.turn is Turn.CUSTOMERS and each.inactive_at > house.now]
        assert serving.falls_at == min(falls, default=None)
    assert DEFAULT_WEIGHING.of(2, 1) == pytest.approx(2.2)


@pytest.mark.parametrize("conversations", [5, pytest.param(50, marks=pytest.mark.long)], ids=["100", "1,000"])
async def test_claims_and_the_router_race_for_one_owner(house: RoutingHouse, conversations: int) -> None:
    """Twenty people claim each of them, all at once, while the router begins to give them out."""
    agents = [f"@agent{number}:x" for number in range(20)]
    await house.group("tax", agents, assignment="manual")
    ids = [await house.customer("tax", number) for number in range(conversations)]
    for number in range(len(ids)):
        for agent in agents:
            await house.writes(agent, number, "!claim")
    await house.change.change_settings("tax", {"assignment": "automatic"})
    await house.work(4)
    for id in ids:
        state, log = await house.state_and_log(id)
        given = [e.event for e in log if isinstance(e.event, ConversationClaimed | ConversationAssigned)]
        assert len(given) == 1 and state.owner == given[0].agent and state.state is State.OPEN
        assert fold(log) == state


async def _live(house: RoutingHouse, events: int, seed: int) -> None:
    """Two groups share half of their people; two workers race. What the router gives never exceeds anybody's units.
    Nobody makes their own load bigger: no claims, and no answer but the first
    word on a conversation: later it may rest, be done, or weigh nothing any more. Most is done by owners to what they
    have: among thousands that are over or wait nobody would meet it by chance."""
    chance = random.Random(seed)
    people = {"tax": [ANNA, BEN], "law": [BEN, CEM]}
    units = {ANNA: 2.0, BEN: 3.0, CEM: 1.4}
    for group, members in people.items():
        await house.group(group, members)
    await house.capacity(units)
    groups: list[str] = []
    touched: set[int] = set()
    numbers: dict[ConversationId, int] = {}
    done = 0
    while done < events:
        in_work = await house.in_work()
        for _ in range(chance.randint(1, 8)):
            if chance.random() < 0.3 or not groups:
                group = chance.choice(list(people))
                numbers[await house.customer(group, len(groups))] = len(groups)
                groups.append(group)
            else:
                number, writer = chance.randrange(len(groups)), None
                if in_work and chance.random() < 0.6:
                    id, writer = chance.choice(in_work)
                    number = numbers[id]
                said = ["!resolve", "!release", "!pause until reply", "Hello", "Hello", "!resolve"]
                word = chance.choice(said[:3] if number in touched else said)
                touched.add(number)
                await house.writes(writer or chance.choice(people[groups[number]]), number, word)
        house.now += timedelta(seconds=chance.randrange(600))
        await house.tick(timedelta(0))
        done += await house.work(2)
        for group in people:
            for address, (carried, most) in (await house.loads(group)).items():
                assert carried <= most + 1e-6, f"{address} carries {carried}"
    given = [each for each in await house.effects() if isinstance(each, PostContext | PostPack)]
    assert len(given) > events / 40, "too tame: hardly anything was given out"


async def test_capacity_is_never_exceeded_by_racing_workers_and_shared_people(house: RoutingHouse) -> None:
    await _live(house, 300, seed=3)


@pytest.mark.long
async def test_capacity_is_never_exceeded_in_ten_thousand_events(house: RoutingHouse) -> None:
    await _live(house, 10_000, seed=4)


_QUEUE = """
INSERT INTO conversation (id, number, version, state, contact_id, chat_id, language, group_id, opened_at, queued_at,
  waiting_since)
SELECT gen_random_uuid(), 'Q-' || n, 3, 'queued', contact_id, chat_id, 'en', group_id, opened_at,
  queued_at + n * interval '1 s', waiting_since FROM conversation, generate_series(1, {most}) AS n"""


async def _given_in_order_after_a_restart(house: RoutingHouse, most: int) -> None:
    """What waits and in which order stands in the database alone: another process goes on where the first one was."""
    await house.group("tax", [ANNA])
    await house.change.set_status(ANNA, Availability.AWAY, "")
    await house.customer("tax", 0)
    await house.work(1)
    async with house.engine.begin() as connection:
        await connection.exec_driver_sql(_QUEUE.format(most=most))
    await house.engine.dispose()
    again = house.restarted()
    await again.change.set_capacity(ANNA, 20)
    await again.change.set_status(ANNA, Availability.AVAILABLE, "")
    await again.work(2)
    async with again.engine.begin() as connection:
        query = sa.select(conversation.c.owner_id.is_not(None)).order_by(conversation.c.queued_at)
        given = list(await connection.scalars(query))
    assert given == [True] * 20 + [False] * (most - 19)


async def test_the_order_of_the_queue_survives_a_restart(house: RoutingHouse) -> None:
    await _given_in_order_after_a_restart(house, 500)


@pytest.mark.long
async def test_the_order_of_ten_thousand_waiting_survives_a_restart(house: RoutingHouse) -> None:
    await _given_in_order_after_a_restart(house, 10_000)
