"""`stellwerk contact`: who may be written to first. Names of customers are never shown here."""

import re
from typing import Annotated

import typer

from messenger.cli import contact_rights, output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, AtMost, StaffId
from messenger.cli.state import Failed

_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")

app = typer.Typer(no_args_is_help=True, help="Customers: who may be written to first, and the rights of a person.")


def _is_code(value: str) -> str:
    """A text could hold what must stay sealed."""
    if not _CODE.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no short code such as form, phone or portal-2026")
    return value


Source = Annotated[
    str,
    typer.Option("--source", "-s", help="How it was given: a short code, such as form or phone.", callback=_is_code),
]


@app.command("consent")
def consent(
    ctx: typer.Context,
    address: StaffId,
    source: Source,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="The person does not agree any more.")] = False,
) -> None:
    """Notes that a person agrees to be written to first, so that `!start` works; or that they do not any more."""
    ask(ctx, lambda admin: admin.set_consent(address, source, is_given=not withdraw))
    output.say(f"{address} may {'not ' if withdraw else ''}be written to first.")


@app.command("list")
def list_contacts(
    ctx: typer.Context,
    restricted: Annotated[bool, typer.Option("--restricted", help="Those whose processing is restricted.")] = False,
    limit: AtMost = 50,
    as_json: AsJson = False,
) -> None:
    """Who has written or was written to, the newest first: addresses and counts, no names."""
    columns = {
        "address": "address",
        "conversations": "conversations",
        "open": "open",
        "last_at": "last said",
        "held": "legal hold",
    }
    rows = ask(ctx, lambda admin: admin.contacts(restricted=restricted, limit=limit))
    output.listing(rows, columns, as_json=as_json, empty="Nobody.", whole=("address",))


@app.command("show")
def show(ctx: typer.Context, address: StaffId, as_json: AsJson = False) -> None:
    """What is known of a person's consent, and how many conversations there are."""
    found = ask(ctx, lambda admin: admin.contact(address))
    if found is None:
        raise Failed(f"nobody has this address: stellwerk contact consent {address} --source CODE")
    labels = {
        "address": "address",
        "consent_at": "consent since",
        "consent_source": "source",
        "conversations": "conversations",
        "open": "open",
    }
    output.details(found, as_json=as_json, labels=labels)


contact_rights.add_to(app)
