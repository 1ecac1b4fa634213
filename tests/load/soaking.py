"""Customers and an agent who write at a given pace for a long time."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.parts.load import send_load
from benchmarks.parts.town import PLAIN
from messenger.demo.synapse import Synapse
from tests.crash.office import Lane, Matter
from tests.support.ledger import lane_of
from tests.support.people import Person

ANSWER_EVERY, FILE_EVERY = 10, 25  # of all that is written; a file is a customer's
EVENTS_OF_MESSAGE, EVENTS_OF_ANSWER = 2, 3  # an answer gets a marker as well
# With so many that the homeserver has not taken yet it is no pace any more.
MOST_WAITING = 1_000


def writes_per_s(events_per_s: float) -> float:
    """Messages and answers a second that make so many events."""
    events = EVENTS_OF_MESSAGE + (EVENTS_OF_ANSWER - EVENTS_OF_MESSAGE) / ANSWER_EVERY
    return events_per_s / events


async def bare_lanes(writers: Sequence[Person]) -> list[dict[str, object]]:
    """A room of their own for each."""
    return [
        {"token": writer.server.token, "room": await writer.create_room(), "contents": [PLAIN]} for writer in writers
    ]


async def bare_sends_per_s(synapse: Synapse, lanes: Sequence[dict[str, object]], seconds: float) -> float:
    """C: what this homeserver takes of closed-loop senders."""
    account = await send_load(synapse.url, lanes, seconds)
    return float(sum(account["sent"]) / account["seconds"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Of one message of a customer: when it was to be written, in seconds since the beginning, and how long it took
    from then until the agent's client could read it."""

    due_s: float
    took_s: float
    is_file: bool


@dataclass(slots=True)
class Pace:
    """Writes at fixed moments, whether what was written before has arrived or not. A lane's messages go one after the
    other, as a client sends them."""

    matters: Sequence[Matter]
    per_s: float
    due_at: dict[str, float] = field(default_factory=dict)  # token of a customer's message -> time.monotonic()
    files: set[str] = field(default_factory=set)
    answers: int = 0
    begun: float = 0.0
    _writing: set[asyncio.Task[None]] = field(default_factory=set)

    async def keep(self, seconds: float) -> None:
        self.begun = time.monotonic()
        for number, matter in zip(range(round(seconds * self.per_s)), _in_turn(self.matters), strict=False):
            due = self.begun + number / self.per_s
            await asyncio.sleep(due - time.monotonic())
            assert len(self._writing) < MOST_WAITING, "the homeserver does not take what is written at this pace"
            self._write(number, matter, due)
        await asyncio.gather(*self._writing)

    def _write(self, number: int, matter: Matter, due: float) -> None:
        is_answer, is_file = number % ANSWER_EVERY == ANSWER_EVERY - 1, number % FILE_EVERY == 0
        lane = matter.answers if is_answer else matter.asks
        task = asyncio.create_task(self._say(lane, due, is_file=is_file and not is_answer), name=lane.name)
        self._writing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or not task.exception():  # one that failed stays, and `keep` tells
            self._writing.discard(task)

    async def _say(self, lane: Lane, due: float, *, is_file: bool) -> None:
        token = await lane.write(file=is_file)
        if lane_of(token).startswith("a"):
            self.answers += 1
            return
        self.due_at[token] = due
        if is_file:
            self.files.add(token)

    def waits(self, there_at: dict[str, float]) -> list[Wait]:
        """In the order in which they were to be written."""
        return [
            Wait(due_s=due - self.begun, took_s=there_at[token] - due, is_file=token in self.files)
            for token, due in sorted(self.due_at.items(), key=lambda item: item[1])
            if token in there_at
        ]


def _in_turn(matters: Sequence[Matter]) -> Iterator[Matter]:
    """One after the other; the turn moves on by one with each round, so that answers and files are everybody's."""
    for number in itertools.count():
        yield matters[(number + number // len(matters)) % len(matters)]


def took_ms(waits: Sequence[Wait]) -> list[float]:
    return [1000 * wait.took_s for wait in waits]
