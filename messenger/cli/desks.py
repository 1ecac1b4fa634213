"""`stellwerk desk`: the bot accounts, as others see them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from messenger.cli import output
from messenger.cli.options import AsJson, DeskName
from messenger.cli.state import Failed, run, settings_of
from messenger.observability.time import utc_now

PATH = "/.well-known/net.stellwerk.desk.json"

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


@app.command("well-known")
def well_known(
    ctx: typer.Context,
    desk: DeskName = None,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Writes it there instead of printing it.")] = None,
) -> None:
    """The desk's keys, signed, as a page for /.well-known/net.stellwerk.desk.json of your own site: there the
    homeserver cannot change what people compare."""
    page = output.dump(run(_page(ctx, desk)))
    if file is None:
        return output.say(page)
    file.write_text(page + "\n", encoding="utf-8")
    output.say(f"{file} is written; publish it at {PATH}.")


async def _page(ctx: typer.Context, name: str | None) -> dict[str, Any]:
    from messenger.bootstrap import desk_well_known
    from messenger.matrix.identity.well_known import NotOurs

    settings = settings_of(ctx)
    desk = settings.desk(name)
    try:
        page = await desk_well_known(settings, desk, made_at=utc_now().isoformat(timespec="seconds"))
    except NotOurs as error:
        raise Failed(f"{error}: stellwerk doctor") from error
    if page is None:
        raise Failed(f"{desk.user_id} has no identity yet: start `stellwerk serve` once")
    return page


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
