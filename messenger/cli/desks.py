"""`stellwerk desk`: the bot accounts, as others see them."""

from dataclasses import dataclass

import typer

from messenger.cli import output
from messenger.cli.options import AsJson, DeskName
from messenger.cli.state import Failed, run, settings_of

app = typer.Typer(no_args_is_help=True, help="Desks: the bot accounts that customers write to.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    user_id: str
    device_id: str
    fingerprint: str
    address: str


@app.command()
def show(ctx: typer.Context, desk: DeskName = None, as_json: AsJson = False) -> None:
    """Address and fingerprint of a desk. Compare the fingerprint with the one your client shows, then verify."""
    shown = run(_shown(ctx, desk))
    labels = {"user_id": "user id", "address": "for customers", "device_id": "device", "fingerprint": "fingerprint"}
    output.details(shown, as_json=as_json, labels=labels)


async def _shown(ctx: typer.Context, name: str | None) -> Shown:
    from messenger.bootstrap import desk_identity

    settings = settings_of(ctx)
    desk = settings.desk(name)
    identity = await desk_identity(settings, desk)
    if identity is None:
        raise Failed(f"{desk.user_id} has no identity yet: start `stellwerk serve` once")
    return Shown(
        user_id=desk.user_id,
        device_id=identity.device_id,
        fingerprint=identity.fingerprint,
        address=f"https://matrix.to/#/{desk.user_id}",
    )
