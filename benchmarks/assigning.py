"""What giving out one conversation costs a desk that has much to do, without the homeserver: the router's turn, from
its inbox row to the commit.

    python benchmarks/assigning.py [--open 5000] [--resolved 100000] [--agents 200] [--groups 20] [--rounds 200]

`one_group` has everybody in it and everything that waits: the largest a turn can be. `stands_still`: nobody has room
and nothing changes; `first_look`: the same, and the reasons of the whole window are written. A claim is measured by
`lists.py` (`!next`). The target is 50 ms for 95 of 100; a machine whose cores are busy does not show it.

`freed`: nobody had room, somebody gets room for one, from outside (so nobody is woken: the workers look twice a
second), and the first that waits is theirs; with the service's three workers. The target is 1 s."""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.lists import DESK, Step, Town, timed
from benchmarks.parts import full_desk, report, servers
from benchmarks.parts.meter import percentile
from messenger.app.handle import handle_next
from messenger.app.items import RoutingWanted, routing_lane
from messenger.app.records import NewItem
from messenger.bootstrap.desk_process import INBOX_WORKERS
from messenger.storage.administration import Administration
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.migration import KEYS, upgrade
from messenger.storage.models.people import staff
from messenger.workers.inbox import InboxWorker
from messenger.workers.supervise import Wake, for_ever

LOOK_EVERY_S = 0.01
_AUTOMATIC = """UPDATE skill_group SET settings = '{"assignment": "automatic", "tell_customer": []}'"""
_ROOM, _NO_ROOM = "UPDATE staff SET capacity_units = 1000", "UPDATE staff SET capacity_units = 0"
_NOTHING_WANTED = "DELETE FROM inbox"
_FORGET = "DELETE FROM routing_decision"
_ONE_GROUP = """
UPDATE conversation SET group_id = md5('g0')::uuid WHERE state = 'queued';
INSERT INTO group_member (group_id, staff_id, role)
SELECT md5('g0')::uuid, id, 'agent' FROM staff ON CONFLICT DO NOTHING"""


async def change(town: Town, statements: str) -> None:
    async with town.engine.begin() as connection:
        for statement in statements.split(";"):
            await connection.exec_driver_sql(statement)


def wanting(town: Town, groups: list[UUID], before: str = _NOTHING_WANTED) -> Step:
    async def want(n: int) -> None:
        await change(town, before)
        group = groups[n % len(groups)]
        item = RoutingWanted(group=group)
        async with town.units() as unit:
            await unit.inbox.add(
                [NewItem(source="routing", source_id=uuid4().hex, lane=routing_lane(group), item=item)]
            )

    return want


async def measure(arguments: argparse.Namespace) -> report.Figures:
    figures = report.surroundings()
    sizes = {name: getattr(arguments, name) for name in ("open", "resolved", "agents", "groups")}
    async with servers.folder() as folder, servers.postgres(folder) as postgres:
        town = Town(await postgres.create_database("assigning"))
        await upgrade(town.engine)
        await upgrade(town.engine, schema=KEYS)
        await full_desk.fill(town.engine, **sizes)
        await change(town, _AUTOMATIC)
        async with town.units.look() as unit:
            groups: list[UUID] = [group.id for group in await unit.people.groups()]
            default = next(group.id for group in await unit.people.groups() if group.is_default)

        async def route(n: int) -> None:
            await handle_next(town.units)

        async def timing(name: str, asked: list[UUID], before: str = _NOTHING_WANTED) -> None:
            found = await timed(arguments.rounds, wanting(town, asked, before), route)
            figures.update({f"{name}_{what}_ms": value for what, value in found.items()})

        await change(town, _ROOM)
        await timing("given_out", groups)
        await change(town, _ONE_GROUP)
        await timing("one_group", [default])
        await change(town, _NO_ROOM)
        await timing("stands_still", [default])
        await timing("first_look", [default], f"{_NOTHING_WANTED};{_FORGET}")
        await change(town, _NOTHING_WANTED)
        figures.update(await freed(town, arguments.rounds))
        await town.engine.dispose()
    return figures | sizes


async def freed(town: Town, rounds: int) -> report.Figures:
    queue, wake = SqlInboxQueue(town.engine, town.keys), Wake()
    workers = [InboxWorker(town.units, queue, wake=wake) for _ in range(INBOX_WORKERS)]
    running = [asyncio.create_task(for_ever("inbox", worker.step)) for worker in workers]
    found = [await _one_freed(town, n) for n in range(rounds)]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return {f"freed_p{percent}_ms": percentile(found, percent / 100) * 1000 for percent in (50, 95)}


async def _one_freed(town: Town, n: int) -> float:
    """Seconds from the change until somebody owns one more."""
    async with town.engine.begin() as connection:
        people = (await connection.execute(sa.select(staff.c.id, staff.c.address).order_by(staff.c.address))).all()
    person = people[n % len(people)]
    async with town.units() as unit:
        group = next(group for group in await unit.people.groups() if group.is_default)
        serving = await unit.routing.lock_person(group.id, person.id, now=unit.now)
        owned = await unit.people.count_owned(person.id)
    assert serving is not None
    began = time.perf_counter()
    change = Administration(town.engine, town.keys, namespace=uuid4(), desk=DESK)
    await change.set_capacity(person.address, serving.person.load + 1)
    while True:
        async with town.units.look() as unit:
            if await unit.people.count_owned(person.id) > owned:
                return time.perf_counter() - began
        await asyncio.sleep(LOOK_EVERY_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("open", 5000), ("resolved", 100_000), ("agents", 200), ("groups", 20), ("rounds", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    report.show("assigning", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
