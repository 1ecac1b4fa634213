"""How fast the router decides, without a database: a queue against a team, in one process.

    python benchmarks/routing.py [--waiting 1000] [--people 200] [--rounds 20]

Everybody has five units, so that the whole queue can be given out; then the same with nobody free."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1]))

from messenger.domain.ids import AgentId, ConversationId
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.matcher import Assign, Person, Snapshot, Waiting, decisions, explain

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SKILLS = [f"skill{n}" for n in range(8)]


def snapshot(waiting: int, people: int, *, units: float) -> Snapshot:
    """Eight skills; everybody has two of them, every conversation needs one."""
    chance = random.Random(1)
    team = [
        Person(
            agent=AgentId(UUID(int=n)),
            availability=Availability.AVAILABLE,
            load=0.0,
            units=units,
            skills={SKILLS[n % 8]: 3, SKILLS[(n + 1) % 8]: 5},
            idle_since=NOW - timedelta(seconds=chance.random() * 3600),
        )
        for n in range(people)
    ]
    queue = [
        Waiting(
            conversation=ConversationId(UUID(int=n)),
            weight=1.0,
            queued_at=NOW + timedelta(seconds=n),
            required={SKILLS[n % 8]: 2},
        )
        for n in range(waiting)
    ]
    return Snapshot(waiting=queue, people=team, now=NOW)


def seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=1000)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    free = snapshot(asked.waiting, asked.people, units=float(max(5, -(-asked.waiting // asked.people))))
    full = replace(free, people=[replace(person, load=person.units) for person in free.people])
    given = sum(isinstance(decision, Assign) for decision in decisions(free))
    figures = {
        "waiting": asked.waiting,
        "people": asked.people,
        "given_out": given,
        "assignments_per_s": round(given / seconds(lambda: list(decisions(free)), asked.rounds)),
        "holds_per_s": round(asked.waiting / seconds(lambda: list(decisions(full)), asked.rounds)),
        "explanations_per_s": round(1 / seconds(lambda: explain(free, free.waiting[0]), asked.rounds)),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
    for name, value in figures.items():
        print(f"{name:<20} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
