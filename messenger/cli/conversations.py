"""`stellwerk conversation`: what is open, and how one conversation stands. Texts of messages are never shown here."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, AtMost
from messenger.cli.state import Failed

STATES = ("new", "queued", "open", "paused", "resolved", "closed")

app = typer.Typer(no_args_is_help=True, help="Conversations.")


@app.command("list")
def list_conversations(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option("--state", "-s", help=f"One of {', '.join(STATES)}.")] = None,
    group: Annotated[str | None, typer.Option("--group", "-g", help="Name of a group.")] = None,
    limit: AtMost = 50,
    as_json: AsJson = False,
) -> None:
    """Conversations, the longest waiting first."""
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is not one of {', '.join(STATES)}", param_hint="--state")
    columns = {
        "ref": "number",
        "state": "state",
        "group": "group",
        "owner": "owner",
        "waiting_since": "waiting since",
        "wakes": "wakes",
    }
    rows = ask(ctx, lambda admin: admin.conversations(state=state, group=group, limit=limit))
    output.listing(rows, columns, as_json=as_json, empty="No conversation matches.")


@app.command("show")
def show(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="NUMBER", help="For example K-4F7Q.")],
    as_json: AsJson = False,
) -> None:
    """One conversation: state, owner, times and what happened to it."""
    found = ask(ctx, lambda admin: admin.conversation(ref))
    if found is None:
        raise Failed(f"there is no conversation {ref}: stellwerk conversation list shows them")
    if found.blocked == "restricted":
        raise Failed(f"{found.ref}: the processing of this person's data is restricted (stellwerk contact unrestrict)")
    labels = {
        "ref": "number",
        "state": "state",
        "group": "group",
        "owner": "owner",
        "language": "language",
        "messages": "messages",
        "opened_at": "opened",
        "waiting_since": "waiting since",
        "wakes": "wakes",
        "resolved": "resolved",
    }
    output.details(found, as_json=as_json, labels=labels)
    if not as_json:
        output.say()
        output.listing(found.history, {"at": "when", "what": "what", "who": "who"}, as_json=False, empty="Nothing yet.")


@app.command("why")
def why(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="NUMBER", help="For example K-4F7Q.")],
    as_json: AsJson = False,
) -> None:
    """How one conversation came to its group and to its owner, or what it waits for."""
    found = ask(ctx, lambda admin: admin.why(ref))
    if found is None:
        raise Failed(f"there is no conversation {ref}: stellwerk conversation list shows them")
    if as_json:
        return output.say(output.dump(output.plain(found)))
    output.say(found.text)
