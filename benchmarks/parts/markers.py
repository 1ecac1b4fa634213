"""How soon staff sees what became of a message: from the start of the send until the desk's marker on it is there."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks.parts import report
from benchmarks.parts.meter import percentile
from tests.support.people import Person
from tests.support.timeline import Reaction, Seen

MESSAGES = 40
PATIENCE_S = 20.0
SAID = {"answer": "It takes a week, n. {n}.", "note": "// ask the workshop, n. {n}", "command": "!who",
        "held": "It takes a week.\n// n. {n}, ask the workshop"}  # fmt: skip


async def seconds_until_marked(agent: Person, room: str, desk: str) -> report.Figures:
    """One message after the other in the thread of one conversation that the agent owns, of each kind as many. Asserts
    that each has exactly one marker at the end."""
    agent.open_eyes()
    card = await _owned(agent, room, desk)
    waits: dict[str, list[float]] = {kind: [] for kind in SAID}
    events = []
    for n in range(MESSAGES // len(SAID)):
        for kind, words in SAID.items():
            begun = time.monotonic()
            events.append(await agent.say(room, words.format(n=n), thread=card))
            waits[kind].append(await _until_marked(agent, room, desk, events[-1], begun))
    await asyncio.sleep(2)
    counts = [len(_markers(agent, room, desk, event)) for event in events]
    await agent.close_eyes()
    return {"markers_exactly_one": f"{counts.count(1)} of {len(counts)}"} | _figures(waits)


def _figures(waits: dict[str, list[float]]) -> report.Figures:
    named = {"all": [each for values in waits.values() for each in values], **waits}
    return {
        f"marker_{kind}_{label}_ms": round(1000 * percentile(values, share))
        for kind, values in named.items()
        for label, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    }


async def _owned(agent: Person, room: str, desk: str) -> str:
    """The card of the first conversation, claimed."""
    card = next(
        seen.event_id for seen in agent.messages(room, sender=desk) if seen.thread is None and "K-" in seen.body
    )
    await agent.react(room, card, "👀")

    def is_theirs(seen: Seen) -> bool:
        return seen.thread == card and "You have K-" in seen.body

    await agent.wait_for(room, is_theirs)
    return card


async def _until_marked(agent: Person, room: str, desk: str, event: str, begun: float) -> float:
    """Looks every two milliseconds, only when something has come."""
    view, looked_at = agent.rooms[room], -1
    while time.monotonic() - begun < PATIENCE_S:
        if len(view.events) != looked_at:
            looked_at = len(view.events)
            if _markers(agent, room, desk, event):
                return time.monotonic() - begun
        await asyncio.sleep(0.002)
    raise SystemExit(f"{event} has no marker")


def _markers(agent: Person, room: str, desk: str, event: str) -> Sequence[Reaction]:
    return [each for each in agent.reactions(room) if each.target == event and each.sender == desk]
