"""`stellwerk backup` and `stellwerk restore`: the database with its crypto store, as one consistent set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from messenger.cli import output
from messenger.cli.options import AsJson
from messenger.cli.state import run, settings_of

if TYPE_CHECKING:
    from messenger.bootstrap import Manifest


class _MakesOne(TyperGroup):
    """`backup DIR` is short for `backup make DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakesOne,
    no_args_is_help=True,
    help="Backups. `stellwerk backup DIR` makes one; the service may be running.",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The set's folder.", file_okay=False, resolve_path=True)]
KeyFolder = Annotated[
    Path | None,
    typer.Option("--keys", metavar="DIR", help="The key database's set.", file_okay=False, resolve_path=True),
]


@app.command()
def make(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A new folder for the set.", file_okay=False, resolve_path=True),
    ] = None,
    keys: KeyFolder = None,
    as_json: AsJson = False,
) -> None:
    """Writes the database of one moment, with queues and crypto store, into a new folder; with --keys the key database
    into another. The root key and the recovery key are in none: keep copies of them elsewhere."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    if folder is None and keys is None:
        raise typer.BadParameter("say where to: DIR, --keys DIR, or both")
    if folder is not None:
        _tell(run(bootstrap.back_up(settings, folder)), folder, as_json=as_json)
    if keys is not None:
        _tell(run(bootstrap.back_up_keys(settings, keys)), keys, as_json=as_json)


@app.command()
def verify(ctx: typer.Context, folder: Folder, as_json: AsJson = False) -> None:
    """Reads a whole set: is it complete, unchanged, and ours? Exit code 1 if not. Needs no database."""
    from messenger import bootstrap

    _tell(bootstrap.verify(settings_of(ctx), folder), folder, as_json=as_json)


def restore(
    ctx: typer.Context,
    folder: Folder,
    keys: KeyFolder = None,
    replace_empty: Annotated[
        bool, typer.Option("--replace-empty", help="Drop the tables of a database that nobody has worked with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Brings a set back into an empty database. Never overwrites data. Afterwards: `stellwerk recover-desk`."""
    from messenger import bootstrap

    manifest = run(bootstrap.restore(settings_of(ctx), folder, keys=keys, replace_empty=replace_empty))
    _tell(manifest, folder, as_json=as_json)
    if not as_json:
        output.say("Restored. The desks in it need new devices before they may work: stellwerk recover-desk")


def _tell(manifest: "Manifest", folder: Path, *, as_json: bool) -> None:
    if as_json:
        output.say(output.dump(output.plain(manifest)))
        return
    size, rows = f"{manifest.bytes / 1e6:.1f} MB", sum(manifest.counts.values())
    output.say(f"{folder}: {manifest.kind}, of {output.cell(manifest.made_at)}, {size},")
    output.say(f"{rows} rows in {len(manifest.counts)} tables, schema {manifest.schema}, Stellwerk {manifest.program}.")
    output.say("Complete, unchanged, and made under our root key.")
