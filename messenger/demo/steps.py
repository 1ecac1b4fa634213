"""A list of steps with their times: live on a terminal, one plain line a step elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._steps = {name: Step(name) for name in names}
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the first."""
        return time.monotonic() - self._started

    @contextmanager
    def showing(self) -> Iterator[None]:
        self._started = time.monotonic()
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
