"""Invitations from many servers at once: who writes meanwhile is served as ever, the program grows by no more than it
should, its log does not tell of each, and who comes afterwards is served.

python -m pytest -m load tests/hostile/test_flood_of_invitations.py -s    (INVITATIONS=5000 from 50 servers in 60 s)"""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from benchmarks.parts.meter import percentile
from benchmarks.parts.talks import Talk
from tests.faults.away import Town, a_town
from tests.support.crowd import ENCRYPTION, Writer
from tests.support.databases import TestDatabases
from tests.support.waiting import eventually

INVITATIONS, SERVERS, SECONDS = int(os.environ.get("INVITATIONS", "5000")), 50, 60.0
MOST_GROWTH, GOAL_S, PARTNER = 200 * 2**20, 2.0, "partner.test"
EVERY_S, LOOK_S, PATIENCE_S = 4.0, 0.02, 60.0  # one message of a customer in four seconds is within the usual limits
ONLY_A_PARTNER = {"STELLWERK__MATRIX__ALLOWED_SERVERS": f'["{PARTNER}"]'}


@dataclass(slots=True)
class Flood:
    """`most`: bytes that the program held; `waits`: seconds of each message that was written meanwhile."""

    town: Town
    most: int = 0
    waits: list[float] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)

    @property
    def held(self) -> int:
        return int(psutil.Process(self.town.product.pid).memory_info().rss)

    @property
    def lines(self) -> int:
        return self.town.product.log_text().count("\n")

    @property
    def joined(self) -> int:
        rooms = self.town.fake.world.rooms
        return sum(rooms[room].membership(self.town.product.desk) == "join" for room in self.rooms)

    async def pours(self, invitations: int, servers: int, seconds: float) -> None:
        begun = time.monotonic()
        for number in range(invitations):
            await asyncio.sleep(max(0.0, begun + number * seconds / invitations - time.monotonic()))
            self._invites(f"@stranger{number}:s{number % servers}.test")
            if number % 50 == 0:
                self.most = max(self.most, self.held)

    def _invites(self, stranger: str) -> None:
        body = {"invite": [self.town.product.desk], "is_direct": True, "initial_state": [ENCRYPTION]}
        self.rooms.append(self.town.fake.world.create_room(stranger, body).room_id)

    async def is_written_in(self, pouring: "asyncio.Task[None]", every_s: float) -> None:
        talks = self.town.talks
        while not pouring.done():
            for talk in talks:
                self.waits.append(await self._wait_of(talk))
                await asyncio.sleep(every_s / len(talks))

    async def _wait_of(self, talk: Talk) -> float:
        begun, seen = time.monotonic(), sum(self._in_thread(talk))
        await self.town.side.say(talk)
        while sum(self._in_thread(talk)) <= seen:
            assert time.monotonic() - begun < PATIENCE_S, "a customer's message does not come"
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - begun

    def _in_thread(self, talk: Talk) -> Iterator[bool]:
        for event in self.town.fake.world.rooms[self.town.side.room].timeline:
            relation = event["content"].get("m.relates_to", {})
            yield relation.get("rel_type") == "m.thread" and relation.get("event_id") == talk.card

    async def newcomer_is_served(self, name: str, server: str) -> None:
        customer = Writer(self.town.fake.world, name, server=server)
        chat = customer.start_direct_chat(self.town.product.desk)
        room = self.town.fake.world.rooms[chat]
        await eventually(lambda: room.membership(self.town.product.desk) == "join", PATIENCE_S, what="the desk joins")
        customer.say(chat, f"Here is {name}.")
        agent = self.town.side.agent
        await eventually(
            lambda: any(f"Here is {name}." in seen.body for seen in agent.read(self.town.side.room) if seen.thread),
            PATIENCE_S,
            what="the newcomer's words are in a thread",
        )


async def flooded(town: Town, invitations: int, servers: int, seconds: float, every_s: float) -> Flood:
    flood = Flood(town)
    for talk in town.talks:
        await flood._wait_of(talk)
    before, lines, flood.waits = flood.held, flood.lines, []
    pouring = asyncio.create_task(flood.pours(invitations, servers, seconds))
    await flood.is_written_in(pouring, every_s)
    await pouring
    await flood.newcomer_is_served("late", PARTNER)
    flood.most = max(flood.most, flood.held)
    p50, p95 = percentile(flood.waits, 0.5), percentile(flood.waits, 0.95)
    print(
        f"\n{invitations} invitations of {servers} servers in {seconds:.0f} s, {flood.joined} accepted so far; "
        f"{len(flood.waits)} messages meanwhile: p50 {p50:.2f} s, p95 {p95:.2f} s, longest {max(flood.waits):.2f} s; "
        f"memory {before / 2**20:.0f} MiB before, at most {flood.most / 2**20:.0f}; {flood.lines - lines} lines in the "
        f"log; load {os.getloadavg()[0]:.1f}"
    )
    assert flood.most - before < MOST_GROWTH
    assert flood.lines - lines < invitations / 10, "the log tells of each"
    return flood


@pytest.mark.parametrize(
    "is_closed", [False, pytest.param(True, marks=pytest.mark.long)], ids=["all servers", "only a partner's"]
)
async def test_invitations_of_many_servers_keep_nobody_out(
    tmp_path: Path, test_databases: TestDatabases, is_closed: bool
) -> None:
    async with a_town(tmp_path, test_databases, chats_each=1) as town:
        await town.open(2)
        if is_closed:
            await town.product.stop()
            await town.product.start(environment=ONLY_A_PARTNER)
        flood = await flooded(town, 300, 10, 2.0, 0.5)
        assert flood.joined == 0 if is_closed else 0 < flood.joined < 300


@pytest.mark.load
@pytest.mark.parametrize("is_closed", [False, True], ids=["all servers", "only a partner's"])
async def test_thousands_of_invitations_in_a_minute_cost_little_and_keep_nobody_waiting(
    tmp_path: Path, test_databases: TestDatabases, is_closed: bool
) -> None:
    async with a_town(tmp_path, test_databases, chats_each=1) as town:
        await town.open(8)
        await town.product.stop()
        with_the_usual_limits(town)
        await town.product.start(environment=ONLY_A_PARTNER if is_closed else None)
        flood = await flooded(town, INVITATIONS, SERVERS, SECONDS, EVERY_S)
        assert percentile(flood.waits, 0.95) < GOAL_S
        assert flood.joined == 0 if is_closed else flood.joined >= SERVERS


def with_the_usual_limits(town: Town) -> None:
    file = town.product.settings_file
    lines = file.read_text().splitlines()
    file.chmod(0o600)
    file.write_text("\n".join(line for line in lines if "_per_minute = 0" not in line) + "\n")
