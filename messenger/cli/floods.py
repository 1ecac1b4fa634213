"""`stellwerk flood`: what came far too fast and is held back, and the decision about it, for whoever has no Element at
hand. The same as `!flood` in a group's room."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AlsoDecided, AsJson, AtMost, Why

app = typer.Typer(no_args_is_help=True, help="What came far too fast: look, let it in, or throw it away.")

Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `flood list` shows it.")]


@app.command("list")
def list_floods(
    ctx: typer.Context,
    everything: AlsoDecided = False,
    limit: AtMost = 50,
    as_json: AsJson = False,
) -> None:
    """What is held back, the oldest first: counts and codes, never a text."""
    columns = {
        "id": "id",
        "since": "since",
        "scope": "too much of",
        "server": "server",
        "group": "group",
        "ref": "conversation",
        "messages": "messages",
        "people": "people",
        "verdict": "decided",
    }
    rows = ask(ctx, lambda admin: admin.floods(decided=everything, limit=limit))
    output.listing(rows, columns, as_json=as_json, empty="Nothing is held back.")


@app.command("admit")
def admit(ctx: typer.Context, id: Number, as_json: AsJson = False) -> None:
    """Lets it in: all of it appears in its conversations, in the old order, marked as late."""
    count = ask(ctx, lambda admin: admin.decide_flood(id, "admitted"))
    if as_json:
        return output.say(output.dump({"id": id, "verdict": "admitted", "messages": count}))
    output.say(f"Flood {id} is let in: {output.counted(count, 'message follows', 'messages follow')} in order.")


@app.command("drop")
def drop(
    ctx: typer.Context,
    id: Number,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Throws it away: nothing will come of it. What people took back themselves is taken back all the same."""
    count = ask(ctx, lambda admin: admin.decide_flood(id, "dropped", reason))
    if as_json:
        return output.say(output.dump({"id": id, "verdict": "dropped", "messages": count}))
    output.say(f"Flood {id} is thrown away: {output.counted(count, 'message')}.")
