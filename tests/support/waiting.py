"""Waiting in tests: poll for what must become true, and stay patient as long as something still moves."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
Answer = Any  # a value or something to await that gives it

POLL_S = 0.02
SLOWEST_POLL_S = 0.5


@overload
async def eventually(
    check: Callable[[], Awaitable[T | None]],
    timeout_s: float = ...,
    *,
    progress: Callable[[], Answer] | None = ...,
    what: str = ...,
) -> T: ...
@overload
async def eventually(
    check: Callable[[], T | None],
    timeout_s: float = ...,
    *,
    progress: Callable[[], Answer] | None = ...,
    what: str = ...,
) -> T: ...
async def eventually(
    check: Callable[[], Answer], timeout_s: float = 30, *, progress: Callable[[], Answer] | None = None, what: str = ""
) -> Any:
    """Calls `check` (plain or async) until its answer is true, and returns it. An AssertionError in it means "not yet".

    `timeout_s` is the time WITHOUT progress: whenever the value of `progress` changes, patience starts anew. A slow
    machine then differs from lost work."""
    patience = _Patience(timeout_s)
    pause_s = POLL_S
    while True:
        answer, failure = await _attempt(check)
        if answer:
            return answer
        if progress is not None:
            patience.note(await _value(progress()))
        if patience.is_over:
            raise AssertionError(
                f"not within {timeout_s} s: {what or _name(check)} (last answer: {answer!r})"
            ) from failure
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.3, SLOWEST_POLL_S)


@overload
async def settled(measure: Callable[[], Awaitable[T]], *, quiet_s: float = ..., timeout_s: float = ...) -> T: ...
@overload
async def settled(measure: Callable[[], T], *, quiet_s: float = ..., timeout_s: float = ...) -> T: ...
async def settled(measure: Callable[[], Answer], *, quiet_s: float = 2, timeout_s: float = 60) -> Any:
    """Returns the value of `measure` once it has not changed for `quiet_s`: the way to see that nothing more
    arrives."""
    give_up_at = time.monotonic() + timeout_s
    value, since = await _value(measure()), time.monotonic()
    while time.monotonic() - since < quiet_s:
        if time.monotonic() > give_up_at:
            raise AssertionError(f"still moving after {timeout_s} s (last value: {value!r})")
        await asyncio.sleep(0.1)
        if (now := await _value(measure())) != value:
            value, since = now, time.monotonic()
    return value


class _Patience:
    def __init__(self, timeout_s: float) -> None:
        self._timeout_s, self._since = timeout_s, time.monotonic()
        self._last: object = None

    def note(self, value: object) -> None:
        if value != self._last:
            self._last, self._since = value, time.monotonic()

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self._since > self._timeout_s


async def _attempt(check: Callable[[], Answer]) -> tuple[Any, AssertionError | None]:
    try:
        return await _value(check()), None
    except AssertionError as failure:
        return None, failure


async def _value(answer: Answer) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def _name(check: Callable[..., object]) -> str:
    return getattr(check, "__qualname__", repr(check))
