"""`stellwerk backup` and `stellwerk restore`: the database with its crypto store, as one consistent set."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from messenger.cli import output
from messenger.cli.options import AsJson
from messenger.cli.state import Failed, run, settings_of
from messenger.config import Settings

if TYPE_CHECKING:
    from messenger.bootstrap import Manifest


MOMENTS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]


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
    into another. Each holds the erasure ledger and the sealed signing key. The root key and the recovery key are in
    none: keep copies of them elsewhere."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    if folder is None and keys is None:
        raise typer.BadParameter("say where to: DIR, --keys DIR, or both")
    if folder is not None:
        _tell(run(bootstrap.back_up(settings, folder)), folder, as_json=as_json)
    if keys is not None:
        _tell(run(bootstrap.back_up_keys(settings, keys)), keys, as_json=as_json)


@app.command()
def continuous(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The set's folder.", file_okay=False, resolve_path=True)
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="It is wanted no more: the server keeps nothing for it, and nobody is told.")
    ] = False,
) -> None:
    """Runs until it is stopped, beside the service: a first copy of the embedded server, then each change as it is
    made, so that `restore --at` can bring back any moment. With the same DIR it goes on where it was."""
    from messenger import bootstrap

    if (folder is None) is not end:
        raise typer.BadParameter("say where to, DIR, or --end")
    if folder is not None:
        run(_continuous(settings_of(ctx), folder))
        return
    run(bootstrap.end_continuous_backup(settings_of(ctx)))
    output.say("The continuous backup has ended. Its folder stays as it is.")


async def _continuous(settings: Settings, folder: Path) -> None:
    from messenger import bootstrap

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(manifest: "Manifest") -> None:
        output.say(f"{folder}: everything since {output.cell(manifest.made_at)} can come back. Streaming.")

    await bootstrap.back_up_continuously(settings, folder, stop=stop, ready=ready)


@app.command()
def verify(ctx: typer.Context, folder: Folder, as_json: AsJson = False) -> None:
    """Reads a whole set: is it complete, unchanged, and ours? Exit code 1 if not. Needs no database."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    manifest = bootstrap.verify(settings, folder)
    if manifest.kind == "continuous":
        bootstrap.verify_continuous(folder)
    _tell(manifest, folder, as_json=as_json)


def restore(
    ctx: typer.Context,
    folder: Folder,
    keys: KeyFolder = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            formats=MOMENTS,
            metavar="TIME",
            help="Of a continuous backup: UTC unless it says; else all there is.",
        ),
    ] = None,
    only_ledger: Annotated[
        bool, typer.Option("--only-ledger", help="The erasure ledger and the signing key, and no database.")
    ] = False,
    replace_empty: Annotated[
        bool, typer.Option("--replace-empty", help="Drop the tables of a database that nobody has worked with.")
    ] = False,
) -> None:
    """Brings a set back, into empty databases. Never overwrites data. Afterwards: `stellwerk recover-desk`."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    manifest = bootstrap.verify(settings, folder)
    if only_ledger:
        output.say(f"The erasure ledger has {_entries(bootstrap.restore_ledger(settings, folder))}.")
        return
    if manifest.kind == "continuous":
        entries = run(bootstrap.restore_to(settings, folder, at.replace(tzinfo=at.tzinfo or UTC) if at else None))
    elif at is not None:
        raise Failed("--at needs a continuous backup; this set knows one moment only")
    else:
        entries = run(bootstrap.restore(settings, folder, keys=keys, replace_empty=replace_empty))
    _tell(manifest, folder, as_json=False)
    output.say(f"The erasure ledger has {_entries(entries)}; whom it names is erased again before anything is served.")
    output.say("Restored. The desks in it need new devices before they may work: stellwerk recover-desk")


def drill(
    ctx: typer.Context,
    folder: Folder,
    keys: Annotated[
        Path, typer.Option("--keys", metavar="DIR", help="The key database's set.", file_okay=False, resolve_path=True)
    ],
    as_json: AsJson = False,
) -> None:
    """Rehearses a restore in a server that is thrown away: restores both sets, opens every message, tells how long it
    took. Exit code 1 if a message cannot be opened. Nothing of the installation is touched."""
    from messenger import bootstrap

    done = run(bootstrap.drill(settings_of(ctx), folder, keys=keys))
    if as_json:
        output.say(output.dump(output.plain(done)))
    else:
        seconds = ", ".join(f"{name} {taken:.1f} s" for name, taken in done.seconds.items())
        rows = output.counted(done.rows, "row")
        output.say(f"Of {output.cell(done.made_at)}, {done.bytes / 1e6:.1f} MB, {rows}: {seconds}.")
        opened = output.counted(done.opened, "message opens", "messages open")
        erased = output.counted(done.erased, "is erased", "are erased")
        output.say(f"{opened}, {erased}, {done.unreadable} cannot be opened.")
    if done.unreadable:
        output.error("messages cannot be opened: is the key set younger than the main set?")
        raise typer.Exit(1)


def _entries(count: int) -> str:
    return output.counted(count, "entry", "entries")


def _tell(manifest: "Manifest", folder: Path, *, as_json: bool) -> None:
    if as_json:
        output.say(output.dump(output.plain(manifest)))
        return
    size, rows = f"{manifest.bytes / 1e6:.1f} MB", output.counted(sum(manifest.counts.values()), "row")
    output.say(f"{folder}: {manifest.kind}, of {output.cell(manifest.made_at)}, {size},")
    tables = output.counted(len(manifest.counts), "table")
    output.say(f"{rows} in {tables}, schema {manifest.schema}, Stellwerk {manifest.program}.")
    output.say("Complete, unchanged, and made under our root key.")
