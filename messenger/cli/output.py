"""What verbs print: tables for people, JSON for programs; remarks go to standard error so that pipes stay clean."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUND = 10_000  # columns: wider than anything


def error(text: str) -> None:
    _remark("error", text, "bold red")


def warn(text: str) -> None:
    _remark("warning", text, "yellow")


def say(text: str = "") -> None:
    """A line of the answer."""
    typer.echo(text)


def listing(
    rows: Sequence[Any], columns: Mapping[str, str], *, as_json: bool, empty: str, whole: Collection[str] = ()
) -> None:
    """`rows` are dataclasses; `columns` maps their fields to headings. JSON shows all fields. What is in the columns
    `whole` is copied by people and never broken: where it does not fit, each row is a block of lines."""
    if as_json:
        say(dump([plain(row) for row in rows]))
    elif not rows:
        say(empty)
    else:
        _print_table(rows, columns, whole)


def details(value: Any, *, as_json: bool, labels: Mapping[str, str]) -> None:
    """One dataclass: all of it as JSON, or the labelled fields one a line."""
    if as_json:
        say(dump(plain(value)))
        return
    width = max(len(label) for label in labels.values())
    for name, label in labels.items():
        say(f"{label:<{width}}  {cell(getattr(value, name))}")


def counted(count: int, one: str, many: str = "") -> str:
    """`many`: unless it is `one` with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Anything that JSON does not know becomes text; dataclasses become objects."""
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return plain(value.value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def cell(value: Any) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case Enum():
            return str(value.value)
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M")
        case list() | tuple() | set() | frozenset():
            return ", ".join(sorted(str(item) for item in value)) or "-"
        case _:
            return str(value)


def _print_table(rows: Sequence[Any], columns: Mapping[str, str], whole: Collection[str]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, heading in columns.items():
        table.add_column(heading, overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(Text(cell(getattr(row, name))) for name in columns))
    if whole and _least_width(console, table) > console.width:
        _print_blocks(rows, columns)
    else:
        console.print(table)


def _least_width(console: Console, table: Table) -> int:
    """To which the table can be folded."""
    unbound = console.options.update_width(UNBOUND)
    return Measurement.get(console, unbound, table).minimum


def _print_blocks(rows: Sequence[Any], columns: Mapping[str, str]) -> None:
    for number, row in enumerate(rows):
        if number:
            say()
        details(row, as_json=False, labels=columns)


def _remark(label: str, text: str, style: str) -> None:
    Console(stderr=True, soft_wrap=True).print(Text(f"{label}: ", style=style) + Text(text))
