"""How much Stellwerk itself can carry: customers' encrypted messages from /sync to the agents' thread, on a fake
homeserver that costs next to nothing, with a durable PostgreSQL.

    python benchmarks/core.py [--messages 3000] [--customers 50] [--ahead 8]

Every customer keeps `ahead` messages on their way. At the end the agent opens every message: each must be there once,
in order, in its own thread."""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import report, servers
from benchmarks.parts.meter import Meter, own_cpu_seconds, percentile
from tests.support.crowd import Writer
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.product import Product
from tests.support.waiting import eventually

TICK_S = 0.005
PATIENCE_S = 30.0
WARM_MESSAGES = 4  # of each customer, before anything is measured


@dataclass(slots=True)
class Flow:
    """One customer's conversation: what was said, and when the thread had it."""

    name: str
    writer: Writer
    chat: str
    thread: str = ""
    sent_at: list[float] = field(default_factory=list)
    relayed_at: list[float] = field(default_factory=list)

    def say(self) -> None:
        self.writer.say(self.chat, f"{self.name}-{len(self.sent_at):05} " + "How long will the repair take? " * 5)
        self.sent_at.append(time.monotonic())

    @property
    def ahead(self) -> int:
        return len(self.sent_at) - len(self.relayed_at)

    def waits_ms(self, *, since: int) -> list[float]:
        pairs = list(zip(self.sent_at, self.relayed_at, strict=True))
        return [1000 * (came - went) for went, came in pairs[since:]]


class Crowd:
    """All customers, and the agent who sees the team's room."""

    def __init__(self, fake: FakeHomeserver, product: Product, customers: int) -> None:
        self.fake, self.product = fake, product
        self.agent = Writer(fake.world, "agent", one_time_keys=50)
        self._count, self.flows = customers, dict[str, Flow]()
        self.room = ""
        self._looked_at = 0

    async def open(self) -> None:
        """Every customer has a conversation with its card and thread afterwards."""
        await self.product.add_group(servers.GROUP, [(self.agent.user_id, "Agent", "agent")], default=True)
        await self.product.start()
        self.room = await self.product.group_room(servers.GROUP)
        await eventually(self.agent.join_invites, 60, what="the agent is invited")
        waiting = [self._customer(n) for n in range(self._count)]
        for flow in waiting:
            await eventually(partial(self._has_joined, flow), 60, what="the desk joined")
            flow.say()
        await eventually(lambda: self._match(waiting), 60, progress=lambda: len(self.flows), what="all have a thread")
        self._looked_at = len(self._timeline)

    def _customer(self, number: int) -> Flow:
        writer = Writer(self.fake.world, f"customer{number}")
        return Flow(f"c{number}", writer, writer.start_direct_chat(self.product.desk))

    def _has_joined(self, flow: Flow) -> bool:
        return self.fake.world.rooms[flow.chat].membership(self.product.desk) == "join"

    @property
    def _timeline(self) -> list[dict[str, Any]]:
        return self.fake.world.rooms[self.room].timeline

    def _match(self, waiting: list[Flow]) -> bool:
        by_name = {flow.name: flow for flow in waiting}
        for seen in self.agent.read(self.room):
            if seen.thread and seen.sender == self.product.desk and seen.thread not in self.flows:
                flow = by_name[_token(seen.body).partition("-")[0]]
                flow.thread = seen.thread
                flow.relayed_at.append(time.monotonic())
                self.flows[seen.thread] = flow
        return len(self.flows) == len(waiting)

    def look(self) -> int:
        """Notes what has arrived; the relation to the thread stands outside of the encryption. Returns how many."""
        now, fresh, found = time.monotonic(), self._timeline[self._looked_at :], 0
        self._looked_at += len(fresh)
        for event in fresh:
            relation = event["content"].get("m.relates_to", {})
            if event["type"] == "m.room.encrypted" and relation.get("rel_type") == "m.thread":
                self.flows[relation["event_id"]].relayed_at.append(now)
                found += 1
        return found

    async def flood(self, messages: int, ahead: int) -> float:
        """Returns the seconds from the first message to the last relay."""
        begun, to_send, to_come, moved_at = time.monotonic(), messages, messages, time.monotonic()
        while to_come:
            if found := self.look():
                to_come, moved_at = to_come - found, time.monotonic()
            for flow in self.flows.values():
                while to_send and flow.ahead < ahead:
                    flow.say()
                    to_send -= 1
            if time.monotonic() - moved_at > PATIENCE_S:
                raise SystemExit(f"{to_come} messages do not come:\n{self.product.log_text()[-3000:]}")
            await asyncio.sleep(TICK_S)
        return time.monotonic() - begun

    def judge(self) -> dict[str, int]:
        """Opens everything: lost, doubled and disordered messages."""
        arrived: dict[str, list[str]] = {thread: [] for thread in self.flows}
        for seen in self.agent.read(self.room):
            if seen.thread in arrived and seen.sender == self.product.desk:
                arrived[seen.thread].append(_token(seen.body))
        lost = doubled = disordered = 0
        for thread, flow in self.flows.items():
            expected = [f"{flow.name}-{n:05}" for n in range(len(flow.sent_at))]
            lost += len(set(expected) - set(arrived[thread]))
            doubled += len(arrived[thread]) - len(set(arrived[thread]))
            disordered += list(dict.fromkeys(arrived[thread])) != expected
        return {"lost": lost, "doubled": doubled, "disordered": disordered}


def _token(body: str) -> str:
    return next((word for word in body.split() if word[0] == "c" and "-" in word), "?-")


async def measure(messages: int, customers: int, ahead: int) -> report.Figures:
    figures, fake = report.surroundings(), FakeHomeserver(record=False)
    await fake.start()
    try:
        async with (
            servers.folder() as folder,
            servers.postgres(folder) as postgres,
            servers.product(folder, servers.FakeAccounts(fake), postgres) as product,
        ):
            crowd = Crowd(fake, product, customers)
            await crowd.open()
            await crowd.flood(customers * WARM_MESSAGES, 2)
            meter = Meter({"stellwerk": product.pid, "postgres": servers.postgres_pid(postgres)})
            figures |= {"messages": messages, "customers": customers, "ahead": ahead}
            return figures | await _flood(crowd, meter, messages, ahead) | crowd.judge()
    finally:
        await fake.stop()


async def _flood(crowd: Crowd, meter: Meter, messages: int, ahead: int) -> report.Figures:
    meter.start()
    own, flows = own_cpu_seconds(), list(crowd.flows.values())
    seconds = await crowd.flood(messages, ahead)
    used, own = meter.lap(), own_cpu_seconds() - own
    waits = [wait for flow in flows for wait in flow.waits_ms(since=WARM_MESSAGES + 1)]
    return {
        "messages_per_s": round(messages / seconds, 1),
        "stellwerk_cpu_ms": round(1000 * used["stellwerk"] / messages, 2),
        "postgres_cpu_ms": round(1000 * used["postgres"] / messages, 2),
        "fake_and_crowd_cpu_ms": round(1000 * own / messages, 2),
        "stellwerk_cores": round(used["stellwerk"] / seconds, 2),
        "p50_ms": round(percentile(waits, 0.5)),
        "p95_ms": round(percentile(waits, 0.95)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--ahead", type=int, default=8)
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.messages, arguments.customers, arguments.ahead))
    report.show("core", figures)
    if figures["lost"] or figures["doubled"] or figures["disordered"]:
        raise SystemExit("messages were lost, doubled or out of order")


if __name__ == "__main__":
    main()
