"""What runs for ever ends when it is told to, also in the moment in which it has something to do."""

import asyncio

import pytest

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
