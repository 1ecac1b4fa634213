"""Prints what two sides saw, in one table by time: left the customer's screen, right the team's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from messenger.demo.actor import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    title: str
    seen: Sequence[Seen]


def print_screens(console: Console, left: Screen, right: Screen, *, names: Mapping[str, str]) -> None:
    table = Table(header_style="bold", show_lines=False, expand=False, row_styles=["", "dim"])
    table.add_column("time")
    table.add_column(left.title, ratio=1, overflow="fold")
    table.add_column(right.title, ratio=1, overflow="fold")
    rows = [(seen, 0) for seen in left.seen] + [(seen, 1) for seen in right.seen]
    for seen, side in sorted(rows, key=lambda row: row[0].at):
        line = Text(_line(seen, names))
        table.add_row(f"{seen.at.astimezone():%H:%M:%S}", *((line, "") if side == 0 else ("", line)))
    console.print()
    console.print(table)


def _line(seen: Seen, names: Mapping[str, str]) -> str:
    who = names.get(seen.sender, seen.sender)
    match seen.kind:
        case "reaction":
            return f"{who} marks: {seen.text}"
        case "image" | "file":
            return f"{who} [{seen.kind}]: {seen.text}"
        case _ if seen.replaces:
            return f"{who} (edited): {seen.text}"
        case _:
            return f"{who}: {seen.text}"
