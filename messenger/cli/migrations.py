"""`stellwerk migrate`: brings the database to the schema of this program."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.options import AsJson
from messenger.cli.state import run, settings_of

app = typer.Typer(no_args_is_help=True, help="The database's schema.")


@app.command()
def up(ctx: typer.Context) -> None:
    """Applies all migrations that are missing, in both databases. Stellwerk may be running."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    run(bootstrap.migrate(settings, "head"))
    output.say("The schema is up to date.")


@app.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Compares both databases with this program. Exit code 1: it cannot serve on them."""
    from messenger import bootstrap

    found = run(bootstrap.schema_status(settings_of(ctx)))
    labels = {"current": "database", "head": "program", "keys_current": "key database", "keys_head": "program, keys"}
    output.details(found, as_json=as_json, labels=labels)
    if not found.fits:
        missing = "a newer version has changed the schema: install it" if found.is_newer else ""
        output.warn(missing or "migrations are missing: stellwerk migrate up")
        raise typer.Exit(1)
    if found.is_newer:
        output.warn("the schema is newer than this program, which can serve on it: install the newer version soon")


@app.command()
def sql(
    ctx: typer.Context, keys: Annotated[bool, typer.Option("--keys", help="Of the key database instead.")] = False
) -> None:
    """Prints the statements of all migrations, for databases that somebody else administers."""
    from messenger import bootstrap

    wanted = bootstrap.key_migration_sql if keys else bootstrap.migration_sql
    output.say(run(wanted(settings_of(ctx))))
