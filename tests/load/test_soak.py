"""Half an hour of real work: a real homeserver, a database as durable as in production, encryption on both sides.

    SOAK_MINUTES=30 python -m pytest -m load -o faulthandler_timeout=0 -s tests/load/test_soak.py

First C is measured: the events a second that this homeserver takes of bare closed-loop senders. Then customers write
text and files, and an agent answers, at moments fixed beforehand: 0.60 x C events a second together, a relayed message
being two events and an answer with its marker three. What the desk writes on its own account (cards) and what clients
ask comes on top. A message's time is from the moment it was to be written until the agent's client, which looks ten
times a second, can read it. At the end somebody else's device reads everything back. `SOAK_LEAK=1` runs a program that
leaks. In less than three minutes memory is printed only: it would be that of the start."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from benchmarks.parts import servers
from benchmarks.parts.meter import Meter, are_alike, own_cpu_seconds, percentile
from benchmarks.parts.reader import Reader
from benchmarks.parts.vitals import Sample, Vitals, after_warm_up, rise, slope_mb_per_minute
from tests.crash.house import House
from tests.load.soaking import Pace, Wait, bare_lanes, bare_sends_per_s, took_ms, writes_per_s
from tests.support.homeservers import count_events, written_by
from tests.support.ledger import Damage, token_in
from tests.support.people import Person
from tests.support.timeline import Seen
from tests.support.waiting import eventually

pytestmark = pytest.mark.load

MINUTES, SLICE_S = float(os.environ.get("SOAK_MINUTES", "30")), 300.0
CUSTOMERS, SHARE_OF_C, BARE_S = 20, 0.60, 15.0
AGENT_LOOKS_EVERY_S = 0.1
MOST_P95_MS, MOST_MB_PER_MINUTE, MOST_MORE_FDS, MOST_MORE_CONNECTIONS = 2_000, 1.0, 5, 2
SHORTEST_FOR_MEMORY_MINUTES = 3
PATIENCE_S, CATCH_UP_S = 180.0, 900.0
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stellwerk%'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What was seen while it lasted. `events_per_s` are all that came to the homeserver, `cores` who used how many."""

    waits: Sequence[Wait]
    samples: Sequence[Sample]
    events_per_s: float
    cores: str


@asynccontextmanager
async def soaking_house() -> AsyncIterator[tuple[House, Person]]:
    """Everybody has a conversation. The second is a member of the team who looks only at the end."""
    program = ("-m", "tests.load.leaking") if os.environ.get("SOAK_LEAK") else None
    async with (
        servers.folder() as folder,
        servers.postgres(folder) as postgres,
        servers.synapse(folder) as synapse,
        House.build(
            folder, synapse, postgres, await postgres.create_database("stellwerk"), lease_s=15, is_alone=True
        ) as house,
    ):
        office = await house.open_office(agents=2, customers=0, program=program)
        agent, witness = office.agents
        office.agents = [agent]
        for _ in range(CUSTOMERS):
            await office.open()
        yield house, witness


async def test_long_work_at_sixty_percent_of_the_homeserver_is_quick_and_takes_no_more_and_more() -> None:
    async with soaking_house() as (house, witness):
        customers = [matter.customer for matter in house.office.matters]
        lanes = await bare_lanes(customers)
        await asyncio.gather(*(person.close_eyes() for person in (witness, *customers)))
        c = await bare_sends_per_s(house.synapse, lanes, BARE_S)
        pace = Pace(house.office.matters, writes_per_s(SHARE_OF_C * c))
        soaked = await _soak(house, pace)
        _show(soaked)
        damage = await _read_back(house, witness)
        c_after = await bare_sends_per_s(house.synapse, lanes, BARE_S)
    print(
        f"C: {c:.1f} events/s before, {c_after:.1f} after{'' if are_alike(c, c_after) else ' (not the same machine)'}; "
        f"on the homeserver {soaked.events_per_s:.1f} events/s, {soaked.events_per_s / c:.2f} x C\n"
        f"written: {len(pace.due_at)} messages of {CUSTOMERS} customers, {len(pace.files)} of them files, and "
        f"{pace.answers} answers, {pace.per_s:.2f}/s\ncores: {soaked.cores}\n"
        f"{len(damage.lost)} lost, {len(damage.doubled)} doubled, {len(damage.disordered)} lanes out of order, "
        f"{len(damage.spoiled)} files with other bytes"
    )
    objections = list(_objections(soaked, damage))
    assert not objections, objections


def _objections(soaked: Soaked, damage: Damage) -> Iterator[str]:
    warm = after_warm_up(soaked.samples, 60 * MINUTES)
    if damage:
        yield str(damage)
    if (p95 := percentile(took_ms(soaked.waits), 0.95)) >= MOST_P95_MS:
        yield f"p95 {p95:.0f} ms"
    if (more := rise([sample.fds for sample in warm])) > MOST_MORE_FDS:
        yield f"{more} file descriptors more"
    if (more := rise([sample.connections for sample in warm])) > MOST_MORE_CONNECTIONS:
        yield f"{more} connections more"
    if MINUTES >= SHORTEST_FOR_MEMORY_MINUTES and (slope := slope_mb_per_minute(warm)) >= MOST_MB_PER_MINUTE:
        yield f"{slope:.2f} MB a minute more"


async def _soak(house: House, pace: Pace) -> Soaked:
    """Until all that was written can be read by the agent."""
    [agent] = house.office.agents
    agent.looks_every_s = AGENT_LOOKS_EVERY_S
    reader = Reader(person=agent, room=house.office.room, token=_token_in_a_thread, every_s=0.01)
    vitals = Vitals(house.product.pid, lambda: _connections(house))
    pids = {"Stellwerk": house.product.pid, "Synapse": house.synapse.pid}
    meter = Meter({**pids, "PostgreSQL": servers.postgres_pid(house.postgres)})
    async with reader.reading(), vitals.watched():
        meter.start()
        events, own = count_events(house.synapse), own_cpu_seconds()
        await pace.keep(60 * MINUTES)
        seconds = time.monotonic() - pace.begun
        events, used = count_events(house.synapse) - events, {**meter.lap(), "people": own_cpu_seconds() - own}
        with suppress(AssertionError):  # then the reading back tells what is missing
            await eventually(
                lambda: pace.due_at.keys() <= reader.there_at.keys(),
                PATIENCE_S,
                progress=lambda: len(reader.there_at),
                what="the agent has read all",
            )
    return Soaked(
        waits=pace.waits(reader.there_at),
        samples=vitals.samples,
        events_per_s=events / seconds,
        cores=", ".join(f"{name} {each / seconds:.2f}" for name, each in used.items()),
    )


def _token_in_a_thread(seen: Seen) -> str | None:
    """A card quotes messages, too."""
    return token_in(seen.body) if seen.thread else None


async def _connections(house: House) -> int:
    return int(str(await house.postgres.value(_CONNECTIONS)))


async def _read_back(house: House, witness: Person) -> Damage:
    """By those who did not look before: somebody of the team reads all threads, each customer their chat."""
    office = house.office
    office.agents = [witness]
    await house.drain()
    rooms = [(witness, office.room), *((matter.customer, matter.chat) for matter in office.matters)]
    for person, _ in rooms:
        person.open_eyes()
    for person, room in rooms:
        wanted = set(written_by(house.synapse, house.product.desk, room))
        await eventually(
            lambda view=person.rooms[room], wanted=wanted: wanted <= view.events.keys(), CATCH_UP_S, what="caught up"
        )
    await eventually(lambda: not office.unreadable(), PATIENCE_S, what="all keys are there")
    return await house.judge()


def _show(soaked: Soaked) -> None:
    columns = ("minutes", "messages", "p50 ms", "p95 ms", "longest", "RSS MB", "fds", "connections", "load")
    print("\n" + "".join(name.rjust(12) for name in columns))
    for name, waits, samples in _slices(soaked):
        took = took_ms(waits)
        cells = [len(took), *(round(percentile(took, share)) for share in (0.5, 0.95, 1.0) if took)]
        if samples:
            cells += [round(max(each.rss_mb for each in samples)), max(each.fds for each in samples)]
            cells += [max(each.connections for each in samples), round(max(each.load for each in samples))]
        print("".join(str(cell).rjust(12) for cell in (name, *cells)))
    warm = after_warm_up(soaked.samples, 60 * MINUTES)
    print(
        f"after a fifth: memory {slope_mb_per_minute(warm):+.2f} MB a minute, file descriptors "
        f"{rise([each.fds for each in warm]):+}, connections {rise([each.connections for each in warm]):+}"
    )


def _slices(soaked: Soaked) -> Iterator[tuple[str, Sequence[Wait], Sequence[Sample]]]:
    begun = 0.0
    while begun < 60 * MINUTES:
        ends = begun + SLICE_S
        yield (
            f"{begun / 60:.0f} to {min(ends / 60, MINUTES):.0f}",
            [each for each in soaked.waits if begun <= each.due_s < ends],
            [each for each in soaked.samples if begun <= each.at_s < ends],
        )
        begun = ends
    yield "files", [each for each in soaked.waits if each.is_file], []
    yield "all", soaked.waits, soaked.samples
