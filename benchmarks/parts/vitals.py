"""What a program holds while it serves: memory, open file descriptors, connections to its database. Looked at now and
then; what grows is told from what goes up and down."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psutil

LOOK_EVERY_S = 10.0
WARM_UP = 0.2  # of the whole time: caches fill, statements are put together


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`at_s` since the beginning. Memory and file descriptors are those of the process and its children."""

    at_s: float
    rss_mb: float
    fds: int
    connections: int
    load: float = 0.0


@dataclass(slots=True)
class Vitals:
    """`connections` tells how many the program has to its database."""

    pid: int
    connections: Callable[[], Awaitable[int]]
    every_s: float = LOOK_EVERY_S
    samples: list[Sample] = field(default_factory=list)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """What the watcher stumbles over comes out at the end."""
        watcher = asyncio.create_task(self._watch(), name="vitals")
        try:
            yield
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    async def _watch(self) -> None:
        begun = time.monotonic()
        while True:
            self.samples.append(await self._look(time.monotonic() - begun))
            await asyncio.sleep(self.every_s)

    async def _look(self, at_s: float) -> Sample:
        rss, fds = await asyncio.to_thread(_of_tree, self.pid)
        connections = await self.connections()
        return Sample(at_s=at_s, rss_mb=rss / 2**20, fds=fds, connections=connections, load=os.getloadavg()[0])


def _of_tree(pid: int) -> tuple[int, int]:
    held = list(_each(pid))
    return sum(rss for rss, _ in held), sum(fds for _, fds in held)


def _each(pid: int) -> Iterator[tuple[int, int]]:
    """Resident bytes and open file descriptors. The process itself must be there; a child may just have ended."""
    process = psutil.Process(pid)
    yield process.memory_info().rss, process.num_fds()
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield child.memory_info().rss, child.num_fds()


def after_warm_up(samples: Sequence[Sample], whole_s: float) -> Sequence[Sample]:
    return [sample for sample in samples if sample.at_s >= WARM_UP * whole_s]


def slope_mb_per_minute(samples: Sequence[Sample]) -> float:
    """By least squares. Not a number with fewer than two moments."""
    count = len(samples)
    minutes, sizes = [sample.at_s / 60 for sample in samples], [sample.rss_mb for sample in samples]
    middle_of_time, middle_of_size = sum(minutes) / max(count, 1), sum(sizes) / max(count, 1)
    spread = sum((minute - middle_of_time) ** 2 for minute in minutes)
    if not spread:
        return float("nan")
    together = sum((m - middle_of_time) * (s - middle_of_size) for m, s in zip(minutes, sizes, strict=True))
    return together / spread


def rise(values: Sequence[int]) -> int:
    """By how much the most in the last fifth is above the most in the first."""
    fifth = max(len(values) // 5, 1)
    return max(values[-fifth:]) - max(values[:fifth])
