"""The tree of verbs. Exit codes: 0 done, 1 failed, 2 wrong usage. `NO_COLOR` is obeyed everywhere."""

from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer

from messenger.cli import (
    agents,
    audit,
    backup,
    configuration,
    contacts,
    conversations,
    dead_letters,
    demo,
    desks,
    floods,
    groups,
    initialise,
    keys,
    migrations,
    output,
    recover,
    retention,
    serve,
    trust,
)
from messenger.cli.doctor import verb as doctor
from messenger.cli.gate import behind_gate
from messenger.cli.state import State, Verbs, overrides_of
from messenger.observability.process import no_core_dumps


class Program(Verbs):
    """The whole tree of verbs, behind the gate."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        behind_gate(self)


app = typer.Typer(
    name="stellwerk",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local values
    help="Secure team messaging with customer threads: customers write in encrypted rooms, teams answer together.",
)


@app.callback()
def common(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", envvar="STELLWERK_CONFIG", help="Settings file [./stellwerk.toml].")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Overrides one setting; repeatable.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="In whose name: somebody of the staff; their roles decide."),
    ] = None,
) -> None:
    ctx.obj = State(config=config, by=by, overrides=overrides_of(assignments or []))


@app.command()
def version() -> None:
    """Prints the versions of Stellwerk and of what it encrypts with."""
    for package in ("stellwerk", "matrix-nio", "vodozemac"):
        output.say(f"{package} {package_version(package)}")


def package_version(package: str) -> str:
    try:
        return version_of(package)
    except ModuleNotFoundError:
        return "(not installed as a package)"


app.command("init")(initialise.init)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("restore")(backup.restore)
app.command("drill")(backup.drill)
app.command("recover-desk")(recover.recover_desk)
app.add_typer(backup.app, name="backup")
app.add_typer(migrations.app, name="migrate")
app.add_typer(groups.app, name="group")
app.add_typer(agents.app, name="agent")
app.add_typer(trust.app, name="trust")
app.add_typer(contacts.app, name="contact")
app.add_typer(retention.app, name="retention")
app.add_typer(conversations.app, name="conversation")
app.add_typer(dead_letters.app, name="deadletter")
app.add_typer(floods.app, name="flood")
app.add_typer(desks.app, name="desk")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(configuration.app, name="config")


def main() -> None:
    no_core_dumps()
    app()
