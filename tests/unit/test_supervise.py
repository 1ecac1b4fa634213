"""What runs for ever ends when it is told to, also in the moment in which it has something to do."""

import asyncio
from datetime import timedelta

import pytest

from messenger.channels.errors import LeaseLost
from messenger.matrix.http import MatrixError
from messenger.workers.supervise import Wake, for_ever

TURNS = range(8)  # of the event loop between the hint and the end: one of them is the bad moment, if there is one
LONG_S = 30.0


@pytest.mark.parametrize("turns", TURNS)
async def test_a_worker_that_is_told_to_end_as_its_hint_comes_ends(turns: int) -> None:
    wake = Wake(LONG_S)
    worker = asyncio.create_task(for_ever("worker", wake.wait))
    await asyncio.sleep(0.01)
    wake.hint()
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.cancel()
    ended, _ = await asyncio.wait([worker], timeout=1)
    assert ended and worker.cancelled(), "it works on"


@pytest.mark.parametrize(("asks_for_s", "our_own_s"), [(0.01, LONG_S), (0.3, 0.01)], ids=["less", "more"])
async def test_who_asks_for_a_pause_gets_that_one(asks_for_s: float, our_own_s: float) -> None:
    clock, steps = asyncio.get_running_loop().time, list[float]()

    async def step() -> None:
        steps.append(clock())
        if len(steps) == 2:
            raise LeaseLost("enough")
        raise MatrixError(429, "M_LIMIT_EXCEEDED", retry_after=timedelta(seconds=asks_for_s))

    async with asyncio.timeout(LONG_S / 2):
        with pytest.raises(LeaseLost):
            await for_ever("worker", step, pause_s=our_own_s)
    assert steps[1] - steps[0] >= asks_for_s
