"""CPU seconds of process trees. On a shared machine wall-clock times are noise; CPU for one message is not."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

ALIKE = 0.25


def cpu_seconds(pid: int) -> float:
    """Of the process, its living children and those that have ended."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:  # it is among the ended ones at the next look
            continue
        total += times.user + times.system
    return float(total)


@dataclass(slots=True)
class Meter:
    """Names and process ids; a lap says how much each has used since the last."""

    pids: Mapping[str, int]
    _last: dict[str, float] | None = None

    def start(self) -> None:
        self._last = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def lap(self) -> dict[str, float]:
        assert self._last is not None, "not started"
        before, self._last = self._last, {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        return {name: now - before[name] for name, now in self._last.items()}


def own_cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def are_alike(one: float, other: float) -> bool:
    """Two measurements of what a homeserver takes: a quarter apart, and the machine was not the same."""
    return abs(one - other) <= ALIKE * max(one, other)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")
