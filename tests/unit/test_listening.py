"""A desk speaks only when it has heard who is there."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from messenger.bootstrap.listening import Listening
from messenger.matrix.http import MatrixError, Unreachable
from messenger.matrix.sync import LONG_POLL_MS


class Line:
    """The sync loop, the queue, the marks and the care, as far as they are asked."""

    def __init__(self) -> None:
        self.waited, self.is_behind, self.hurried = list[int](), False, 0
        self.trouble: Exception | None = None
        self.heard_at = time.monotonic()

    async def once(self, *, timeout_ms: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.waited.append(timeout_ms)

    async def hurry(self) -> None:
        self.hurried += 1

    async def nothing(self) -> None:
        await asyncio.sleep(0)

    hear = step = save_new_keys = nothing


def listening_to(line: Any, begin: Callable[[], None] = lambda: None) -> Listening:
    return Listening(line, line, line, line, begin=begin)


async def test_sending_begins_with_the_first_answer_which_is_not_waited_for() -> None:
    line, begun = Line(), list[int]()
    listening = listening_to(line, begin=lambda: begun.append(len(line.waited)))
    line.trouble = Unreachable("cut")
    with pytest.raises(Unreachable):
        await listening.step()
    assert not begun
    line.trouble = None
    for _ in range(3):
        await listening.step()
    assert begun == [1]
    assert line.waited == [0, LONG_POLL_MS, LONG_POLL_MS]


async def test_sending_does_not_begin_while_a_gap_of_the_first_answer_waits() -> None:
    line, begun = Line(), list[int]()
    listening = listening_to(line, begin=lambda: begun.append(len(line.waited)))
    for line.is_behind in (True, True, False):
        await listening.step()
    assert begun == [3]


@pytest.mark.parametrize(
    ("trouble", "is_away"), [(Unreachable("cut"), True), (MatrixError(502, ""), True), (MatrixError(429, ""), False)]
)
async def test_a_homeserver_that_asks_for_a_pause_was_not_away(trouble: Exception, is_away: bool) -> None:
    line = Line()
    listening = listening_to(line)
    line.trouble = trouble
    with pytest.raises(type(trouble)):
        await listening.step()
    assert (await listening.code() == "cut_off") == is_away
    line.trouble = None
    await listening.step()
    assert line.hurried == is_away
