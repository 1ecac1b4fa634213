"""`stellwerk audit`: who has seen and decided what, and whether the log of it is whole. No content is shown here."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, AtMost
from messenger.cli.state import Failed, run, settings_of
from messenger.queries.audit import AuditRow

PAGE = 10_000
FAULTS = {
    "changed": "it was changed, moved or put in",
    "missing": "it is missing",
    "cut_off": "it and all that followed were cut off",
    "key": "it names a key that it cannot have been written with",
    "not_the_witnessed": "this or a later row is not the one that was there when the checkpoint was written",
    "end_does_not_fit": "the chain's end names another row",
}

app = typer.Typer(no_args_is_help=True, help="The audit log: who has seen and decided what.")

Who = Annotated[str, typer.Option("--actor", help="Only of this one, for example agent:ID.")]
What = Annotated[str, typer.Option("--object", help="Only about this, for example conversation:ID.")]
Action = Annotated[str, typer.Option("--action", help="Only this action, or all that begin with it.")]
Since = Annotated[
    datetime | None, typer.Option("--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="From then on.")
]


@app.command("verify")
def verify(
    ctx: typer.Context,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Another copy of the checkpoint file.", exists=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Checks every row and every checkpoint. Exit code 1 names the first bad row."""
    from messenger.bootstrap.audit import check_audit

    checked = run(check_audit(settings_of(ctx), checkpoints))
    verdict = checked.verdict
    if as_json:
        output.say(output.dump({**output.plain(verdict), "ok": verdict.is_whole, "signed_by": checked.signed_by}))
        raise typer.Exit(0 if verdict.is_whole else 1)
    for line in verdict.bad_lines:
        number, _, fault = line.partition(":")
        output.warn(f"line {number} of the checkpoint file is not as it was written ({fault})")
    if verdict.first_bad is not None and verdict.fault is not None:
        raise Failed(f"row {verdict.first_bad} is the first bad one: {FAULTS[verdict.fault]}")
    if not verdict.is_whole:
        raise Failed("the rows fit each other, but not every checkpoint can be trusted")
    output.say(
        f"{output.counted(verdict.rows, 'row is as it was written', 'rows are as they were written')}; "
        f"{output.counted(verdict.checkpoints, 'checkpoint vouches', 'checkpoints vouch')} for the first "
        f"{verdict.witnessed} of them"
    )


@app.command("list")
def list_rows(
    ctx: typer.Context,
    actor: Who = "",
    object: What = "",
    action: Action = "",
    since: Since = None,
    limit: AtMost = 50,
    as_json: AsJson = False,
) -> None:
    """The newest rows first."""
    columns = {
        "seq": "row",
        "at": "when",
        "actor": "who",
        "action": "what",
        "object": "about",
        "purpose": "for",
        "outcome": "outcome",
        "reason": "because",
    }
    moment = since.astimezone() if since else None
    rows = ask(
        ctx,
        lambda admin: admin.audit_rows(
            actor=actor, object=object, action=action, since=moment, most=limit, newest_first=True
        ),
    )
    whole = ("actor", "action", "object", "reason")
    output.listing(rows, columns, as_json=as_json, empty="Nothing was written down yet.", whole=whole)


@app.command("export")
def export(ctx: typer.Context, actor: Who = "", object: What = "", action: Action = "", since: Since = None) -> None:
    """All rows, oldest first, one JSON object a line. Each carries its mac, so that a copy can be compared."""
    moment, after = since.astimezone() if since else None, 0

    while rows := _page(ctx, after, actor=actor, object=object, action=action, since=moment):
        for row in rows:
            output.say(json.dumps(output.plain(row), sort_keys=True))
        after = rows[-1].seq


def _page(ctx: typer.Context, after: int, **which: object) -> Sequence[AuditRow]:
    return ask(ctx, lambda admin: admin.audit_rows(after=after, most=PAGE, **which))


@app.command("renew-key")
def renew_key(ctx: typer.Context) -> None:
    """From now on new rows are chained under a new key; older rows stay verifiable."""
    number = ask(ctx, lambda admin: admin.renew_audit_key())
    output.say(f"New rows are chained under audit key {number}.")
