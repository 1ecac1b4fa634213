"""`stellwerk deadletter`: what was given up after several tries, and what a person decides about it. Texts of messages
are never shown here."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AlsoDecided, AsJson, AtMost, Why
from messenger.cli.state import Failed

app = typer.Typer(no_args_is_help=True, help="What was given up: look, try again, or drop.")

Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `deadletter list` shows it.")]


@app.command("list")
def list_letters(
    ctx: typer.Context,
    everything: AlsoDecided = False,
    limit: AtMost = 50,
    as_json: AsJson = False,
) -> None:
    """What waits for a decision, the oldest first."""
    columns = {
        "id": "id",
        "at": "when",
        "queue": "queue",
        "kind": "kind",
        "reason": "reason",
        "ref": "conversation",
        "waiting": "waiting behind",
        "verdict": "decided",
    }
    rows = ask(ctx, lambda admin: admin.dead_letters(decided=everything, limit=limit))
    output.listing(rows, columns, as_json=as_json, empty="No dead letter waits for a decision.")


@app.command("show")
def show(ctx: typer.Context, id: Number, as_json: AsJson = False) -> None:
    """One dead letter: what it was, why it was given up, what waits behind it."""
    found = ask(ctx, lambda admin: admin.dead_letter(id))
    if found is None:
        raise Failed(f"there is no dead letter {id}: stellwerk deadletter list shows them")
    labels = {
        "id": "id",
        "at": "given up",
        "queue": "queue",
        "kind": "kind",
        "reason": "reason",
        "ref": "conversation",
        "attempts": "attempts",
        "decision": "its lane",
        "waiting": "waiting behind",
        "verdict": "decided",
        "decided_by": "by",
        "decided_at": "at",
    }
    output.details(found, as_json=as_json, labels=labels)


@app.command("retry")
def retry(ctx: typer.Context, id: Number, as_json: AsJson = False) -> None:
    """Puts it back in its place. What it may have sent already is not sent twice."""
    done = ask(ctx, lambda admin: admin.retry_dead_letter(id))
    if as_json:
        return output.say(output.dump({**output.plain(done), "id": id}))
    output.say(f"Dead letter {id} is tried again.")
    if done.overtaken:
        many = "1 later one has" if done.overtaken == 1 else f"{done.overtaken} later ones have"
        output.warn(f"{many} gone ahead in its place meanwhile: it comes after them")


@app.command("drop")
def drop(
    ctx: typer.Context,
    id: Number,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Nothing will come of it. What waited behind it goes on; the author of an answer learns that it was not sent."""
    ask(ctx, lambda admin: admin.drop_dead_letter(id, reason))
    if as_json:
        return output.say(output.dump({"id": id, "dropped": True}))
    output.say(f"Dead letter {id} is dropped.")
