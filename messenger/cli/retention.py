"""`stellwerk retention`: what has lived long enough. The desk carries it out; it also looks by itself every day."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.contact_rights import with_rights
from messenger.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Retention: what has lived long enough, by purpose.")


@app.command("run")
def run_now(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due.")] = False,
    as_json: AsJson = False,
) -> None:
    """Orders the erasure of what is due, in batches; says what is due, what a hold keeps, and what was out of reach."""
    report = with_rights(ctx, lambda rights: rights.retention(dry_run=dry_run))
    if as_json:
        return output.say(output.dump(output.plain(report)))
    columns = {"purpose": "purpose", "group": "group", "days": "days", "due": "due", "kept": "kept", "oldest": "oldest"}
    output.listing(report.due, columns, as_json=False, empty="No group has a limit.")
    for each in report.out_of_reach:
        output.say(f"{each.outcome} in earlier runs: {each.count} at {each.place}")
    if not dry_run:
        ordered = output.counted(report.ordered, "conversation is", "conversations are")
        output.say(f"{ordered} being cleaned by the desk.")
    return None
