"""`stellwerk config schema`: for editors that complete and check `stellwerk.toml`."""

import typer

from messenger.cli import output
from messenger.cli.state import settings_of
from messenger.config import reference

app = typer.Typer(no_args_is_help=True, help="The settings file.")


@app.command()
def schema() -> None:
    """Prints the JSON schema of stellwerk.toml."""
    output.say(output.dump(reference.schema()))


@app.command()
def check(ctx: typer.Context) -> None:
    """Reads the settings and says whether they can be used."""
    settings = settings_of(ctx)
    output.say(f"{settings.file}: in order, {output.counted(len(settings.matrix.desks), 'desk')}")
