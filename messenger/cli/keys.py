"""`stellwerk keys`: the root key and what hangs on it."""

import typer
from rich.console import Console

from messenger.cli import output
from messenger.cli.options import AsJson
from messenger.cli.state import run, settings_of

app = typer.Typer(no_args_is_help=True, help="Keys at rest: how many there are, and a new root key.")


@app.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """How many keys there are, under which root key, and whether a rotation is on its way."""
    from messenger import bootstrap

    found = run(bootstrap.key_status(settings_of(ctx)))
    labels = {
        "root_key": "root key",
        "is_rotating": "rotation under way",
        "subjects": "persons' keys",
        "destroyed": "destroyed",
        "data_keys": "data keys",
        "older": "still under the root key",
    }
    output.details(found, as_json=as_json, labels=labels)
    if not as_json:
        output.say()
        columns = {"id": "root key", "state": "state", "made_at": "since", "retired_at": "retired", "keys": "keys"}
        output.listing(found.roots, columns, as_json=False, empty="")


@app.command()
def rotate(ctx: typer.Context) -> None:
    """Makes a new root key and brings all keys under it, while Stellwerk runs. Run it again if it was broken off."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    console = Console(stderr=True)
    with console.status("") as shown:
        done = run(
            bootstrap.rotate_root_key(settings, tell=lambda n: shown.update(f"{_keys_are(n)} under the new one"))
        )
    output.say(f"{_keys_are(done.keys)} under root key {done.root_key} now, {settings.security.root_key_file}.")
    output.say(f"Copy it to a safe place. The old one is {done.kept}: keep it apart as long as there are backups of "
               "the key database from before, 30 days at most, then destroy it.")  # fmt: skip


def _keys_are(count: int) -> str:
    return output.counted(count, "key is", "keys are")
