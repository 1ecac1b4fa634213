"""`stellwerk migrate`: brings the database to the schema of this program."""

import typer

from messenger.cli import output
from messenger.cli.options import AsJson
from messenger.cli.state import run, settings_of

app = typer.Typer(no_args_is_help=True, help="The database's schema.")


@app.command()
def up(ctx: typer.Context) -> None:
    """Applies all migrations that are missing. Stellwerk may be running."""
    from messenger import bootstrap

    settings = settings_of(ctx)
    run(bootstrap.migrate(settings, "head"))
    output.say("The schema is up to date.")


@app.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Compares the database with this program. Exit code 1: migrations are missing."""
    from messenger import bootstrap

    found = run(bootstrap.schema_status(settings_of(ctx)))
    output.details(found, as_json=as_json, labels={"current": "database", "head": "program"})
    if found.current != found.head:
        output.warn("migrations are missing: stellwerk migrate up")
        raise typer.Exit(1)


@app.command()
def sql(ctx: typer.Context) -> None:
    """Prints the statements of all migrations, for databases that somebody else administers."""
    from messenger import bootstrap

    output.say(run(bootstrap.migration_sql(settings_of(ctx))))
