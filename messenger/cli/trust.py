"""`stellwerk trust`: whose keys are right, decided by an operator; and the emoji of verifications, to be read to people
by a way that the homeserver cannot change."""

from dataclasses import asdict
from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, StaffId

app = typer.Typer(no_args_is_help=True, help="Doubts about people's keys, and verifications.")

_ALERTS = {"person": "person", "cause": "cause", "device": "device", "key": "key", "state": "state"}
_VERIFICATIONS = {"person": "person", "state": "state", "emoji": "emoji", "decimals": "numbers", "began_at": "since"}


@app.command("list")
def show(
    ctx: typer.Context,
    all: Annotated[bool, typer.Option("--all", help="Also what was decided.")] = False,
    as_json: AsJson = False,
) -> None:
    """Why rooms wait for a decision, and the verifications of the last day with their emoji."""
    alerts, verifications = ask(ctx, lambda admin: admin.trust(all=all))
    if as_json:
        found = {"alerts": [asdict(each) for each in alerts], "verifications": [asdict(each) for each in verifications]}
        return output.say(output.dump(output.plain(found)))
    output.listing(alerts, _ALERTS, as_json=False, empty="Nothing waits for a decision.")
    if verifications:
        output.say()
        output.listing(verifications, _VERIFICATIONS, as_json=False, empty="")


@app.command("accept")
def accept(ctx: typer.Context, address: StaffId) -> None:
    """What is doubted about this person is right; without a doubt, their account's present identity is theirs. Compare
    with them first, face to face or by telephone."""
    count = ask(ctx, lambda admin: admin.decide_trust(address, trusted=True))
    if not count:
        output.say(f"Nothing was doubted about {address}. What their account shows now counts as theirs.")
        return
    output.say(f"{address} is trusted{f' in {count} rooms' if count > 1 else ''}; what waited leaves now.")


@app.command("remove")
def remove(ctx: typer.Context, address: StaffId) -> None:
    """What is doubted about this person is not right: the device gets no keys, or the account leaves the room."""
    count = ask(ctx, lambda admin: admin.decide_trust(address, trusted=False))
    output.say(f"{address} is out in {output.counted(count, 'room')}; what waited leaves now.")
