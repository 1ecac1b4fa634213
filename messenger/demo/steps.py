"""A list of steps with their times: live on a terminal, one plain line a step elsewhere."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

MARKS = {"waiting": "·", "running": "…", "done": "✓", "failed": "✗"}
STYLES = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red"}


@dataclass(slots=True)
class Step:
    name: str
    state: str = "waiting"
    started: float = 0
    seconds: float = 0


class Steps:
    """`with steps.showing(): with steps.step("Database"): …`. Each name was announced to the constructor."""

    def __init__(self, console: Console, names: Sequence[str], *, since_s: float = 0) -> None:
        """`since_s`: what had been waited for before there was a list."""
        self._console = console
        self._steps = {name: Step(name) for name in names}
        self._started = time.monotonic() - since_s

    @property
    def seconds(self) -> float:
        """All that was waited for."""
        return time.monotonic() - self._started

    def was(self, name: str, seconds: float) -> None:
        """A step that was done before there was a list."""
        self._steps[name].state, self._steps[name].seconds = "done", seconds
        self._tell(self._steps[name])

    @contextmanager
    def showing(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self._console, refresh_per_second=8):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        step = self._steps[name]
        step.state, step.started = "running", time.monotonic()
        try:
            yield
            step.state = "done"
        except BaseException:
            step.state = "failed"
            raise
        finally:
            step.seconds = time.monotonic() - step.started
            self._tell(step)

    def _tell(self, step: Step) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{MARKS[step.state]} {step.name}  {step.seconds:.1f} s", highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for step in self._steps.values():
            running = time.monotonic() - step.started if step.state == "running" else step.seconds
            shown = "" if step.state == "waiting" else f"{running:.1f} s"
            style = STYLES[step.state]
            table.add_row(Text(MARKS[step.state], style=style), step.name, Text(shown, style="dim", justify="right"))
        return table


def age_of_process() -> float:
    """Seconds since the system started this process (Linux: proc(5), starttime is the 22nd field); elsewhere 0."""
    try:
        fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
