"""A desk speaks only when it has heard who is there."""

import asyncio
from typing import Any

import pytest

from messenger.bootstrap.listening import Listening
from messenger.matrix.http import Unreachable
from messenger.matrix.sync import LONG_POLL_MS


class Line:
    """The sync loop, the queue, the marks and the care, as far as they are asked."""

    def __init__(self) -> None:
        self.waited, self.is_cut = list[int](), False

    async def once(self, *, timeout_ms: int) -> None:
        if self.is_cut:
            raise Unreachable("cut")
        self.waited.append(timeout_ms)

    async def nothing(self) -> None:
        await asyncio.sleep(0)

    hear = step = hurry = save_new_keys = nothing


async def test_sending_begins_with_the_first_answer_which_is_not_waited_for() -> None:
    line, begun = Line(), list[int]()
    whole: Any = line
    listening = Listening(whole, whole, whole, whole, begin=lambda: begun.append(len(line.waited)))
    line.is_cut = True
    with pytest.raises(Unreachable):
        await listening.step()
    assert not begun
    line.is_cut = False
    for _ in range(3):
        await listening.step()
    assert begun == [1]
    assert line.waited == [0, LONG_POLL_MS, LONG_POLL_MS]
