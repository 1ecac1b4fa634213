"""How long a claim takes in a full database, without a homeserver: from putting the reaction into the inbox until the
turn is committed.

    python benchmarks/claims.py [--conversations 5000] [--agents 200] [--claims 300] [--rounds 20]

First one at a time; then bursts: so many claims at once, by workers of one process. In a race all claim the same
conversation, and exactly one must win; the others are told whose it is, each in a turn of its own."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.parts import report, servers
from benchmarks.parts.filled import DESK, GROUPS, Filled, Waiting, agent
from benchmarks.parts.meter import own_cpu_seconds, percentile
from messenger.app.handle import handle_next
from messenger.app.items import StaffReacted
from messenger.app.records import NewItem
from messenger.bootstrap.desk_process import INBOX_WORKERS
from messenger.storage.database import at_once
from messenger.storage.models.conversations import event_log

RACING, WARM = 20, 20


class Claims:
    def __init__(self, filled: Filled, agents: int) -> None:
        self._filled, self._agents = filled, agents

    def item(self, target: Waiting, chooser: int) -> StaffReacted:
        """By one of the people of the conversation's group."""
        person = agent((target.group + GROUPS * chooser) % self._agents)
        room = self._filled.room(target.group)
        return StaffReacted(account=DESK, room=room, event=f"${uuid4().hex}", target=target.card, key="👀",
                            sender=person, at=datetime.now(UTC))  # fmt: skip

    async def put(self, items: Sequence[StaffReacted]) -> None:
        new = [NewItem(source=DESK, source_id=each.event, lane=f"staff:{each.event}", item=each) for each in items]
        async with self._filled.units() as unit:
            await unit.inbox.add(new)

    async def alone(self, target: Waiting, chooser: int) -> float:
        """Milliseconds."""
        begun = time.perf_counter()
        await self.put([self.item(target, chooser)])
        assert await handle_next(self._filled.units) is not None
        return 1000 * (time.perf_counter() - begun)

    async def burst(self, targets: Sequence[Waiting], workers: int) -> list[float]:
        """Milliseconds of each claim since the moment when all were put in."""
        begun, taken = time.perf_counter(), list[float]()

        async def work() -> None:
            while len(taken) < len(targets):
                if await handle_next(self._filled.units) is None:
                    await asyncio.sleep(0.005)
                else:
                    taken.append(1000 * (time.perf_counter() - begun))

        await self.put([self.item(target, number) for number, target in enumerate(targets)])
        await asyncio.gather(*(work() for _ in range(workers)))
        return taken

    async def winners(self, targets: Sequence[Waiting]) -> int:
        query = sa.select(sa.func.count()).where(
            event_log.c.type == "ConversationClaimed", event_log.c.conversation_id.in_([each.id for each in targets])
        )
        async with at_once(self._filled.engine) as connection:
            return int(await connection.scalar(query) or 0)


def _figures(name: str, values: Sequence[float]) -> report.Figures:
    ordered = list(values)
    return {f"{name}_p50_ms": round(percentile(ordered, 0.5), 1), f"{name}_p95_ms": round(percentile(ordered, 0.95), 1)}


async def measure(asked: argparse.Namespace) -> report.Figures:
    figures = report.surroundings() | {"conversations": asked.conversations, "agents": asked.agents}
    async with servers.folder() as folder, servers.postgres(folder) as postgres:
        url = await postgres.create_database("claims")
        filled = await Filled.of(url, asked.conversations, asked.agents)
        try:
            return figures | await _measure(Claims(filled, asked.agents), list(filled.waiting), asked)
        finally:
            await filled.close()


async def _measure(claims: Claims, free: list[Waiting], asked: argparse.Namespace) -> report.Figures:
    def take(count: int) -> list[Waiting]:
        taken, free[:] = free[:count], free[count:]
        return taken

    for number, target in enumerate(take(WARM)):
        await claims.alone(target, number)
    own = own_cpu_seconds()
    alone = [await claims.alone(target, number) for number, target in enumerate(take(asked.claims))]
    own = own_cpu_seconds() - own
    raced = take(asked.rounds)
    races = [await claims.burst([target] * RACING, RACING) for target in raced]
    side_by_side = [await claims.burst(take(RACING), RACING) for _ in range(asked.rounds // 2)]
    as_in_service = [await claims.burst([target] * RACING, INBOX_WORKERS) for target in take(asked.rounds)]
    if await claims.winners(raced) != len(raced):
        raise SystemExit("a race has not exactly one winner")
    return {
        **_figures("alone", alone),
        "alone_cpu_ms": round(1000 * own / len(alone), 2),
        **_figures(f"race_of_{RACING}", [each for race in races for each in race]),
        **_figures("race_first", [race[0] for race in races]),
        **_figures(f"{RACING}_side_by_side", [each for burst in side_by_side for each in burst]),
        **_figures(f"race_by_{INBOX_WORKERS}_workers", [each for race in as_in_service for each in race]),
        "turns_per_s": round(RACING / (percentile([race[-1] for race in races], 0.5) / 1000)),
        "winners_of_each_race": 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=5000)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--claims", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=20)
    report.show("claims", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
