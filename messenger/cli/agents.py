"""`stellwerk agent`: the members of staff, of any role."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, StaffId
from messenger.i18n import LANGUAGES

app = typer.Typer(no_args_is_help=True, help="Members of staff.")


@app.command("add")
def add(
    ctx: typer.Context,
    user_id: StaffId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The full name; customers see the first name.")],
    language: Annotated[str, typer.Option("--language", "-l", help=f"One of {', '.join(LANGUAGES)}.")] = "en",
) -> None:
    """Makes a Matrix user known as a member of staff. Groups give them something to do."""
    if language not in LANGUAGES:
        raise typer.BadParameter(f"{language!r} is not one of {', '.join(LANGUAGES)}", param_hint="--language")
    ask(ctx, lambda admin: admin.add_agent(user_id, name, language))
    output.say(f"{name} ({user_id}) added. Next: stellwerk group member add GROUP {user_id}")


@app.command("list")
def list_agents(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All members of staff."""
    columns = {"address": "user id", "name": "name", "language": "language", "groups": "groups"}
    empty = "Nobody yet: stellwerk agent add @anna:example.org Anna"
    output.listing(ask(ctx, lambda admin: admin.agents()), columns, as_json=as_json, empty=empty)
