"""Options that several verbs share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
DeskName = Annotated[str | None, typer.Option("--desk", help="User id of the desk; without it the first one.")]
