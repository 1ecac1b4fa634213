"""A restart after a crash with many open conversations: how soon the first message is relayed, and what an open
conversation costs in memory.

    python benchmarks/restart.py [--rooms 100,1000] [--established 1000] [--homeserver fake|synapse]

Every conversation is established: a chat, a card, an owner, two messages of the customer and an answer (further ones
than `--established` have one message and a card, and wait in the queue). Then, at each number of rooms: some are paused
until a minute from now and as many for two days; the program is killed (SIGKILL); customers write three messages each
into 50 other rooms; when the first pauses are over, the program is started. The lease of the killed process is over by
then. At the end the agent opens everything: each message must be there once, in order, in its own thread."""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import report, servers
from benchmarks.parts.ledger import Ledger
from benchmarks.parts.meter import cpu_seconds
from benchmarks.parts.talks import FakeSide, Side, SynapseSide, Talk, token_of
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.product import Product
from tests.support.waiting import eventually

WAVE = 200
WRITING, EACH, SLEEPING = 50, 3, 20
PATIENCE_S, LOOK_S, REST_S = 60.0, 0.01, 3.0
SETTINGS = {"STELLWERK__MATRIX__INVITES_PER_MINUTE": "10000"}


@dataclass(slots=True)
class Clock:
    """Moments of a start, in seconds since the process was started."""

    begun: float = field(default_factory=time.monotonic)
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ready: float = 0.0
    first: float = 0.0
    last: float = 0.0
    cpu_at_ready: float = 0.0

    @property
    def now(self) -> float:
        return time.monotonic() - self.begun


class Run:
    def __init__(self, side: Side, product: Product, ledger: Ledger, established: int) -> None:
        self.side, self.product, self.ledger = side, product, ledger
        self.talks: list[Talk] = []
        self.arrived: dict[str, list[str]] = {}  # tokens by the card of their thread
        self._missing: set[str] = set()
        self._paused: set[str] = set()
        self._established = established

    async def open(self) -> None:
        await self.product.add_group(servers.GROUP, [(self.side.agent_id, "Agent", "agent")], default=True)
        await self.product.start(environment=SETTINGS)
        await self.side.take_seat(await self.product.group_room(servers.GROUP))

    def look(self) -> int:
        """Notes what has come; returns how many of the expected messages."""
        found = 0
        for seen in self.side.lines():
            token = token_of(seen) if seen.thread and seen.sender == self.product.desk and not seen.replaces else ""
            if token:
                self.arrived.setdefault(seen.thread or "", []).append(token)
                found += token in self._missing
                self._missing.discard(token)
        return found

    # Before

    async def grow(self, rooms: int) -> None:
        """Until so many conversations are open. Those beyond the established ones only wait for somebody."""
        while len(self.talks) < rooms:
            talks = await self.side.chats(len(self.talks), min(WAVE, rooms - len(self.talks)), self.product.desk)
            chats = [talk.chat for talk in talks]
            await self._say(talks)
            cards = await self.ledger.cards(chats)
            for talk in talks:
                talk.card = cards[talk.chat]
            self.talks += talks
            if len(self.talks) > self._established:
                continue
            await asyncio.gather(*(self.side.claim(talk.card) for talk in talks))
            await eventually(partial(self._all_owned, chats), PATIENCE_S, what="all have an owner")
            await asyncio.gather(*(self.side.answer(talk.card, "It will be ready on Monday.") for talk in talks))
            await self._say(talks)

    async def _all_owned(self, chats: Sequence[str]) -> bool:
        return await self.ledger.owned(chats) == len(chats)

    async def _say(self, talks: Sequence[Talk]) -> None:
        """One message in each; returns when all are in their threads and nothing is on its way."""
        await asyncio.gather(*(self.side.say(talk) for talk in talks))
        self._missing |= {talk.tokens[-1] for talk in talks}
        await eventually(self._nothing_misses, PATIENCE_S, progress=lambda: len(self._missing), what="all is relayed")
        await eventually(self.ledger.is_quiet, PATIENCE_S, what="nothing is on its way")

    def _nothing_misses(self) -> bool:
        self.look()
        return not self._missing

    async def _pause(self, talks: Sequence[Talk], until: str) -> None:
        already = await self.ledger.paused()
        await asyncio.gather(*(self.side.answer(talk.card, f"!pause {until}") for talk in talks))

        async def are_paused() -> bool:
            return await self.ledger.paused() == already + len(talks)

        await eventually(are_paused, PATIENCE_S, what="the pauses are noted")

    # The restart

    async def restart(self) -> report.Figures:
        writing, sleeping, resting = self._choose()
        await self._pause(resting, "2 days")
        await self._pause(sleeping, "1 minute")
        await eventually(self.ledger.is_quiet, PATIENCE_S, what="nothing is on its way")
        before = self._megabytes()
        due_at = await self.ledger.due_at([talk.chat for talk in sleeping])
        self.product.kill()
        await self._write_while_down(writing)
        await asyncio.sleep(max(0.0, (due_at + timedelta(seconds=1) - datetime.now(UTC)).total_seconds()))
        self.side.forget_calls()
        clock = await self._start()
        await eventually(self.ledger.is_quiet, PATIENCE_S, what="nothing is on its way")
        cpu = cpu_seconds(self.product.pid)
        await asyncio.sleep(REST_S)
        return {
            "start_to_ready_s": round(clock.ready, 2),
            "start_to_first_relayed_s": round(clock.first, 2),
            "start_to_all_relayed_s": round(clock.last, 2),
            "relayed": len(writing) * EACH,
            **await self._timers(clock, len(sleeping)),
            "cpu_to_ready_s": round(clock.cpu_at_ready, 2),
            "cpu_to_quiet_s": round(cpu, 2),
            "rss_mb_before": round(before, 1),
            "rss_mb_after": round(self._megabytes(), 1),
            **self._calls(),
        }

    def _choose(self) -> tuple[list[Talk], list[Talk], list[Talk]]:
        """Those who write, who sleep for a minute and for days; few rooms make do with fewer."""
        few = max(1, len(self.talks) // 8)
        awake = [talk for talk in self.talks if talk.name not in self._paused]
        most = min(SLEEPING, few)
        sleeping, resting = awake[:most], awake[most : 2 * most]
        self._paused |= {talk.name for talk in (*sleeping, *resting)}
        return awake[-min(WRITING, 2 * few) :], sleeping, resting

    async def _write_while_down(self, talks: Sequence[Talk]) -> None:
        for _ in range(EACH):
            await asyncio.gather(*(self.side.say(talk) for talk in talks))
        self._missing = {token for talk in talks for token in talk.tokens[-EACH:]}

    async def _start(self) -> Clock:
        clock = Clock()
        watch = asyncio.create_task(self._watch(clock))
        await self.product.start(environment=SETTINGS)
        clock.ready, clock.cpu_at_ready = clock.now, cpu_seconds(self.product.pid)
        await watch
        return clock

    async def _watch(self, clock: Clock) -> None:
        moved = clock.now
        while self._missing:
            if self.look():
                clock.first = clock.first or clock.now
                moved = clock.last = clock.now
            if clock.now - moved > PATIENCE_S:
                raise SystemExit(f"{len(self._missing)} messages do not come:\n{self.product.log_text()[-3000:]}")
            await asyncio.sleep(LOOK_S)

    async def _timers(self, clock: Clock, expected: int) -> report.Figures:
        async def woken() -> bool:
            return (await self.ledger.woken(clock.begun_at))[0] >= expected

        await eventually(woken, PATIENCE_S, what="the timers woke their conversations")
        count, last = await self.ledger.woken(clock.begun_at)
        assert last is not None
        return {
            "timers_due": expected,
            "woken": count,
            "start_to_all_woken_s": round((last - clock.begun_at).total_seconds(), 2),
        }

    def _megabytes(self) -> float:
        return float(psutil.Process(self.product.pid).memory_info().rss) / 2**20

    def _calls(self) -> report.Figures:
        calls = self.side.calls()
        if calls is None:
            return {}
        named = ("sync_full", "asks_of_rooms", "sync", "sends", "to_device")
        rest = {kind: count for kind, count in calls.items() if kind not in named}
        return {
            "calls": sum(calls.values()),
            **{f"calls_{name}": calls.get(name, 0) for name in named},
            "calls_other": ", ".join(f"{kind} {count}" for kind, count in sorted(rest.items())),
        }

    # The end

    async def judge(self) -> report.Figures:
        """Of everything that was ever said."""
        self.look()
        lost = doubled = disordered = 0
        for talk in self.talks:
            found = Counter(self.arrived.get(talk.card, []))
            lost += len(set(talk.tokens) - set(found))
            doubled += sum(count - 1 for count in found.values())
            disordered += list(dict.fromkeys(self.arrived.get(talk.card, []))) != talk.tokens
        return {
            "lost": lost,
            "doubled": doubled,
            "disordered": disordered,
            "dead_letters": await self.ledger.dead_letters(),
            "database_mb": await self.ledger.megabytes(),
        }


@asynccontextmanager
async def _run(homeserver: str, established: int) -> AsyncIterator[Run]:
    async with servers.folder() as folder, servers.postgres(folder) as postgres, _side(homeserver, folder) as made:
        side, accounts = made
        async with servers.product(folder, accounts, postgres) as product:
            ledger = Ledger(product.database_url)
            try:
                yield Run(side, product, ledger, established)
            finally:
                await ledger.close()


@asynccontextmanager
async def _side(homeserver: str, folder: Path) -> "AsyncIterator[tuple[Side, servers.Synapse | servers.FakeAccounts]]":
    if homeserver == "synapse":
        async with servers.synapse(folder) as synapse:
            people = await SynapseSide.of(synapse)
            try:
                yield people, synapse
            finally:
                await people.leave()
        return
    fake = FakeHomeserver()
    await fake.start()
    try:
        yield FakeSide(fake), servers.FakeAccounts(fake)
    finally:
        await fake.stop()


async def measure(stages: Sequence[int], homeserver: str, established: int) -> report.Figures:
    figures = report.surroundings() | {"homeserver": homeserver}
    results: dict[int, report.Figures] = {}
    async with _run(homeserver, established) as run:
        await run.open()
        for rooms in stages:
            begun = time.monotonic()
            await run.grow(rooms)
            set_up = round(time.monotonic() - begun)
            results[rooms] = {"set_up_s": set_up, **await run.restart(), **await run.judge(), **_load()}
            report.show(f"restart with {rooms} rooms", results[rooms] | _memory(results))
        figures |= {f"{rooms}_{name}": value for rooms, each in results.items() for name, value in each.items()}
    return figures | _memory(results)


def _load() -> report.Figures:
    return {"load_average": round(os.getloadavg()[0], 2)}


def _memory(results: dict[int, report.Figures]) -> report.Figures:
    """Kilobytes for one more open conversation: in a process that has served them all, and in one that has just
    started."""
    few, many = min(results), max(results)
    if few == many:
        return {}
    slopes = {
        name: (float(results[many][name]) - float(results[few][name])) * 1024 / (many - few)
        for name in ("rss_mb_before", "rss_mb_after")
    }
    return {
        "kb_each_having_served_all": round(slopes["rss_mb_before"], 2),
        "kb_each_after_a_restart": round(slopes["rss_mb_after"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", default="100,1000", help="rising numbers; a restart is measured at each")
    parser.add_argument("--homeserver", choices=("fake", "synapse"), default="fake")
    parser.add_argument("--established", type=int, default=1000, help="further ones have one message and no owner")
    asked = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once, not at every start
    stages = [int(each) for each in asked.rooms.split(",")]
    figures = asyncio.run(measure(stages, asked.homeserver, asked.established))
    report.show("restart", figures)
    if any(value for name, value in figures.items() if name.endswith(("_lost", "_doubled", "_disordered"))):
        raise SystemExit("messages were lost, doubled or out of order")


if __name__ == "__main__":
    main()
