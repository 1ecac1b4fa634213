"""Options and arguments that several verbs share."""

import re
from typing import Annotated

import typer

# Matrix spec v1.16, appendix "User identifiers": @, a local part without a colon, the server's name.
_USER_ID = re.compile(r"@[^:\s]+:\S+")


def _is_user_id(value: str) -> str:
    if not (_USER_ID.fullmatch(value) and value.isprintable()):
        raise typer.BadParameter(f"{value!r} is no Matrix user id like @anna:example.org")
    return value


def _words(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("say why: it is kept in the audit log")
    return value.strip()


AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
DeskName = Annotated[str | None, typer.Option("--desk", help="User id of the desk; without it the first one.")]
StaffId = Annotated[str, typer.Argument(metavar="USER_ID", help="For example @anna:example.org.", callback=_is_user_id)]
AtMost = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")]
AlsoDecided = Annotated[bool, typer.Option("--all", "-a", help="Also those about which somebody has decided.")]
Why = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept in the audit log.", callback=_words)]
