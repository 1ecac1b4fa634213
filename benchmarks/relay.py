"""The whole way on a real Synapse: a customer's encrypted message until an agent can read it in the thread; beside it
what the same Synapse accepts as plain sends, and what a bare matrix-nio relay without a database reaches, in the same
run.

    python benchmarks/relay.py [--parts idle,marker,half,flood,down] [--customers 10] [--seconds 25] [--without-bare]

The throughput is a RATIO: relayed messages a second, divided by the plain sends a second (20 closed-loop senders in 20
rooms) measured before and after. A relayed message is two sends, so the ceiling is 0.50. A run whose two comparisons
differ by more than a quarter, or in which Synapse got another share of the machine, says so and counts for nothing; so
does a ratio above the ceiling."""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import markers, report, servers, town
from benchmarks.parts.half import Way, added_latency
from benchmarks.parts.load import send, send_load
from benchmarks.parts.meter import ALIKE, Meter, are_alike, percentile
from benchmarks.parts.town import Chat, Town
from messenger.demo.child import Child
from messenger.matrix.http import CLIENT, HomeserverClient, path
from tests.support.people import Person
from tests.support.product import Product
from tests.support.waiting import eventually, settled

PLAIN_SENDERS, PLAIN_SECONDS = 20, 8.0
IDLE_MESSAGES = 40
BARE_SECONDS = 12.0
CEILING = 0.5


@dataclass(slots=True)
class Side:
    """One relay: whose account relays, into which room, for which chats, in which process."""

    name: str
    bot: str
    room: str
    chats: Sequence[Chat]
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Plain:
    """A comparison: sends a second, Synapse's CPU for one of them, and how many cores Synapse got meanwhile."""

    per_s: float
    cpu_ms: float
    cores: float


@dataclass(slots=True)
class Bench:
    town: Town
    agent: Person
    plain_lanes: Sequence[Any]
    stellwerk: Side
    bare: Side | None
    product: Product
    postgres_pid: int

    @property
    def url(self) -> str:
        return self.town.synapse.url

    async def plain(self) -> "Plain":
        """What the homeserver accepts when nobody relays."""
        meter = Meter({"synapse": self.town.synapse.pid})
        meter.start()
        account = await send_load(self.url, self.plain_lanes, PLAIN_SECONDS)
        count, used = sum(account["sent"]), meter.lap()["synapse"]
        return Plain(count / account["seconds"], 1000 * used / count, used / account["seconds"])

    # One at a time

    async def idle(self, sides: Sequence[Side]) -> report.Figures:
        """Turn by turn, so that both sides see the same machine."""
        waits: dict[str, list[float]] = {side.name: [] for side in sides}
        ready = {side.name: await side.chats[0].prepare(IDLE_MESSAGES, side.bot) for side in sides}
        server = HomeserverClient(self.url)
        self.agent.open_eyes()
        for n in range(IDLE_MESSAGES):
            for side in sides:
                chat, (token, content) = side.chats[0], ready[side.name][n]
                server.token, begun = chat.token, time.monotonic()
                await send(server, chat.room, content)
                chat.said.append(token)
                waits[side.name].append(await town.seconds_until_readable(self.agent, side.room, token, begun))
                await asyncio.sleep(0.05)
        await server.close()
        await self.agent.close_eyes()
        return {
            f"{name}_idle_{label}_ms": round(1000 * percentile(values, share))
            for name, values in waits.items()
            for label, share in (("p50", 0.5), ("p95", 0.95))
        }

    # As many as go

    async def flood(self, side: Side, seconds: float) -> report.Figures:
        ready = [await chat.prepare(200, side.bot) for chat in side.chats]
        lanes = [
            {"token": chat.token, "room": chat.room, "contents": [content for _, content in contents]}
            for chat, contents in zip(side.chats, ready, strict=True)
        ]
        pids = {"relay": side.pid, "synapse": self.town.synapse.pid}
        meter = Meter(pids | ({"postgres": self.postgres_pid} if side is self.stellwerk else {}))
        meter.start()
        account = await send_load(self.url, lanes, seconds)
        for chat, contents, sent in zip(side.chats, ready, account["sent"], strict=True):
            chat.said += [token for token, _ in contents[:sent]]
        count = sum(account["sent"])
        await self._quiet(side)
        used = meter.lap()
        found = await self._read(side)
        took = found[-1][1] / 1000 - account["begun_at"]
        return {
            f"{side.name}_relayed": count,
            f"{side.name}_per_s": round(count / took, 2),
            f"{side.name}_behind_s": round(took - account["seconds"], 1),
            f"{side.name}_synapse_cores": round(used["synapse"] / took, 2),
            **{f"{side.name}_{name}_cpu_ms": round(1000 * value / count, 2) for name, value in used.items()},
            **{f"{side.name}_{name}": value for name, value in town.verdict(side.chats, found).items()},
        }

    async def _quiet(self, side: Side) -> None:
        """Until the room has not changed for a while; asks once in a while, so as to cost nothing."""
        server = HomeserverClient(self.url, token=self.agent.server.token)

        async def newest() -> object:
            await asyncio.sleep(0.4)
            url = f"{CLIENT}/rooms/{path(side.room)}/messages"
            page = await server.call("GET", url, query={"dir": "b", "limit": "1"})
            return page["chunk"][0]["event_id"]

        try:
            await settled(newest, quiet_s=3, timeout_s=120)
        finally:
            await server.close()

    async def _read(self, side: Side) -> list[tuple[str, int]]:
        self.agent.open_eyes()
        try:
            return await town.arrived(self.agent, side.room, side.bot)
        finally:
            await self.agent.close_eyes()

    async def down(self, count: int = 100) -> report.Figures:
        """Written while Stellwerk was stopped."""
        await self.product.stop()
        per_chat = count // len(self.stellwerk.chats)
        lanes = []
        for chat in self.stellwerk.chats:
            ready = await chat.prepare(per_chat, self.stellwerk.bot)
            chat.said += [token for token, _ in ready]
            lanes.append({"token": chat.token, "room": chat.room, "contents": [content for _, content in ready]})
        await send_load(self.url, lanes, 60)
        begun = time.time()
        await self.product.start()
        await self._quiet(self.stellwerk)
        found = await self._read(self.stellwerk)
        here = {token for chat in self.stellwerk.chats for token in chat.said[-per_chat:]} & {
            token for token, _ in found
        }
        return {
            "down_sent": per_chat * len(self.stellwerk.chats),
            "down_arrived": len(here),
            "down_seconds": round(found[-1][1] / 1000 - begun, 1),
            **{f"down_{name}": value for name, value in town.verdict(self.stellwerk.chats, found).items()},
        }


@asynccontextmanager
async def bench(customers: int, *, with_bare: bool) -> AsyncIterator[Bench]:
    async with (
        servers.folder() as folder,
        servers.postgres(folder) as postgres,
        servers.synapse(folder) as synapse,
        servers.product(folder, synapse, postgres) as product,
    ):
        people = Town(synapse)
        agent = await people.person("agent")
        writers = [await people.person(f"w{n}") for n in range(PLAIN_SENDERS)]
        bare = await _bare_side(folder, people, agent, writers[:customers]) if with_bare else None
        try:
            stellwerk = await _our_side(product, people, agent, writers[:customers])
            plain = [await people.plain_lane(writer) for writer in writers]
            for person in people.everybody:
                await person.close_eyes()
            yield Bench(people, agent, plain, stellwerk, bare[0] if bare else None, product,
                        servers.postgres_pid(postgres))  # fmt: skip
        finally:
            if bare:
                await bare[1].stop()
            await people.leave()


async def _our_side(product: Product, people: Town, agent: Person, writers: Sequence[Person]) -> Side:
    await product.add_group(servers.GROUP, [(agent.user_id, "Agent", "agent")], default=True)
    await product.start()
    room = await product.group_room(servers.GROUP)
    await agent.wait_for_members(room, [agent.user_id]) if room in agent.rooms else await eventually(
        lambda: room in agent.rooms, 60, what="the agent is seated"
    )
    side = Side("stellwerk", product.desk, room, await _chats("p", people, writers, product.desk), product.pid)
    await _first_words(side, agent)
    return side


async def _bare_side(folder: Path, people: Town, agent: Person, writers: Sequence[Person]) -> tuple[Side, Child]:
    account = await people.account("bare")
    room = await agent.create_room(invite=[account.user_id])
    store, ready = folder / "bare", folder / "bare.ready"
    store.mkdir()
    program = str(Path(__file__).parent / "parts" / "bare_relay.py")
    arguments = [people.synapse.url, account.user_id, account.password, room, str(store), str(ready)]
    child = Child("bare relay", [sys.executable, program, *arguments], log=folder / "bare.log")
    child.start()
    await eventually(ready.exists, 60, what="the bare relay runs")
    side = Side("bare", account.user_id, room, await _chats("b", people, writers, account.user_id), child.pid)
    await _first_words(side, agent)
    return side, child


async def _chats(letter: str, people: Town, writers: Sequence[Person], bot: str) -> list[Chat]:
    return [await people.chat(f"{letter}{n}", writer, bot) for n, writer in enumerate(writers)]


async def _first_words(side: Side, agent: Person) -> None:
    """Conversations are established before anything is measured."""
    for chat in side.chats:
        [(token, content)] = await chat.prepare(1, side.bot)
        await send(chat.customer.server, chat.room, content)
        chat.said.append(token)
    wanted = {chat.said[0] for chat in side.chats}
    await eventually(
        lambda: wanted <= {town.token_of(seen) for seen in agent.messages(side.room, sender=side.bot)},
        60,
        what=f"{side.name} relays",
    )


async def measure(parts: Sequence[str], customers: int, seconds: float, *, with_bare: bool) -> report.Figures:
    figures = report.surroundings()
    async with bench(customers, with_bare=with_bare) as run:
        sides = [run.stellwerk, *([run.bare] if run.bare else [])]
        if "idle" in parts:
            figures |= await run.idle(sides)
        if "marker" in parts:
            figures |= await markers.seconds_until_marked(run.agent, run.stellwerk.room, run.stellwerk.bot)
        if "half" in parts:
            figures |= await _half(run)
        if "flood" in parts:
            figures |= await _floods(run, seconds)
        if "down" in parts:
            figures |= await run.down()
    figures["load_average_end"] = round(os.getloadavg()[0], 2)
    return figures


async def _half(run: Bench) -> report.Figures:
    before, ours = await run.plain(), run.stellwerk
    relay = Way(room=ours.room, chats=ours.chats, shared_with=ours.bot, writer=ours.bot)
    figures = await added_latency(run.url, run.agent, relay, run.plain_lanes, plain_per_s=before.per_s)
    after = await run.plain()
    return figures | {
        "half_plain_per_s": f"{before.per_s:.1f} before, {after.per_s:.1f} after",
        "half_counts": "yes" if are_alike(before.per_s, after.per_s) else "NO: the comparisons differ",
    }


async def _floods(run: Bench, seconds: float) -> report.Figures:
    before = await run.plain()
    figures = await run.flood(run.stellwerk, seconds)
    after = await run.plain()
    figures |= _compare("stellwerk", figures, before, after)
    if run.bare:
        figures |= await run.flood(run.bare, BARE_SECONDS)
        figures |= _compare("bare", figures, after, await run.plain())
    return figures


def _compare(name: str, figures: report.Figures, before: Plain, after: Plain) -> report.Figures:
    ratio = float(figures[f"{name}_per_s"]) / statistics.mean((before.per_s, after.per_s))
    return {
        f"{name}_plain_per_s": f"{before.per_s:.1f} before, {after.per_s:.1f} after",
        f"{name}_plain_synapse_cores": f"{before.cores:.2f} before, {after.cores:.2f} after",
        f"{name}_plain_synapse_cpu_ms": round(statistics.mean((before.cpu_ms, after.cpu_ms)), 2),
        f"{name}_ratio": round(ratio, 3),
        f"{name}_ratio_counts": _objection(ratio, before, after, float(figures[f"{name}_synapse_cores"])) or "yes",
    }


def _objection(ratio: float, before: Plain, after: Plain, cores: float) -> str:
    """Why the ratio says nothing: the machine was not the same in all phases."""
    if not are_alike(before.per_s, after.per_s):
        return "NO: the comparisons differ"
    if ratio > CEILING:
        return "NO: above the ceiling, so the comparison was disturbed"
    if abs(cores - statistics.mean((before.cores, after.cores))) > ALIKE * max(cores, before.cores, after.cores):
        return "NO: Synapse did not get the same share of the machine"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="idle,marker,half,flood,down")
    parser.add_argument("--customers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--without-bare", action="store_true")
    given = parser.parse_args()
    figures = asyncio.run(
        measure(given.parts.split(","), given.customers, given.seconds, with_bare=not given.without_bare)
    )
    report.show("relay", figures)


if __name__ == "__main__":
    main()
