"""Prints what two sides saw, in one table by time: left the customer's screen, right the team's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from messenger.demo.actor import Seen

LINK = re.compile(r"https://matrix\.to/\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    title: str
    seen: Sequence[Seen]


def print_screens(
    console: Console,
    left: Screen,
    right: Screen,
    *,
    names: Mapping[str, str],
    leaps: Sequence[tuple[datetime, str]] = (),
) -> None:
    """`leaps`: when time was made to pass, and how that is called."""
    table = Table(header_style="bold", show_lines=False, expand=False, row_styles=["", "dim"])
    table.add_column("time")
    table.add_column(left.title, ratio=1, overflow="fold")
    table.add_column(right.title, ratio=1, overflow="fold")
    rows = [(seen.at, (_line(seen, names), "")) for seen in left.seen]
    rows += [(seen.at, ("", _line(seen, names))) for seen in right.seen]
    rows += [(at, (f"— {text} —", f"— {text} —")) for at, text in leaps]
    for at, (customer, team) in sorted(rows, key=lambda row: row[0]):
        table.add_row(f"{at.astimezone():%H:%M:%S}", Text(customer), Text(team))
    console.print()
    console.print(table)


def _line(seen: Seen, names: Mapping[str, str]) -> str:
    """Of an edit the first line: a card says its state there, and is edited often."""
    who, text = names.get(seen.sender, seen.sender), LINK.sub("(link)", seen.text)
    first = text.partition("\n")[0]
    match seen.kind:
        case "reaction":
            return f"{who} marks: {seen.text}"
        case "image" | "file":
            return f"{who} [{seen.kind}]: {seen.text}"
        case _ if seen.replaces:
            return f"{who} (edited): {first}"
        case _:
            return f"{who}: {text}"
