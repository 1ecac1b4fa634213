"""`stellwerk agent`: the members of staff, of any role."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, StaffId
from messenger.domain.access import GRANTABLE, HouseRole
from messenger.domain.routing.availability import CHOSEN, Availability
from messenger.domain.routing.skills import MAX_LEVEL
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
    """All members of staff: what they can take, what they have in work, and how much fits."""
    columns = {
        "address": "user id",
        "name": "name",
        "language": "language",
        "availability": "status",
        "load": "load",
        "capacity": "of units",
        "skills": "skills",
        "groups": "groups",
    }
    empty = "Nobody yet: stellwerk agent add @anna:example.org Anna"
    output.listing(ask(ctx, lambda admin: admin.agents()), columns, as_json=as_json, empty=empty)


@app.command("role")
def role(
    ctx: typer.Context,
    user_id: StaffId,
    name: Annotated[
        HouseRole | None, typer.Argument(metavar="[ROLE]", help=f"One of {', '.join(GRANTABLE)}; none shows all.")
    ] = None,
    take: Annotated[bool, typer.Option("--take", help="Takes the role away.")] = False,
    as_json: AsJson = False,
) -> None:
    """What somebody is in the whole installation. Roles in a group: stellwerk group member add --role."""
    if name is None:
        labels = {"address": "user id", "roles": "roles", "groups": "in groups"}
        return output.details(ask(ctx, lambda admin: admin.roles(user_id)), as_json=as_json, labels=labels)
    chosen = name
    if take:
        ask(ctx, lambda admin: admin.take_role(user_id, chosen))
        return output.say(f"{user_id} is not {chosen.value} any more.")
    ask(ctx, lambda admin: admin.grant_role(user_id, chosen))
    output.say(f"{user_id} is {chosen.value} now.")


@app.command("disable")
def disable(ctx: typer.Context, user_id: StaffId) -> None:
    """Takes all seats and roles away, for somebody who leaves. What they have written stays."""
    ask(ctx, lambda admin: admin.disable(user_id))
    output.say(f"{user_id} has no seat and no role any more. What they had in work goes back to its queue.")


@app.command("skill")
def skill(
    ctx: typer.Context,
    user_id: StaffId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `required_skills` of a group spells it.")],
    level: Annotated[int, typer.Argument(metavar="LEVEL", min=0, max=MAX_LEVEL, help="0 takes the skill away.")],
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day on which it counts.")
    ] = None,
) -> None:
    """Says what somebody knows, from 0 (nothing) to 5."""
    valid_to = (until + timedelta(days=1)).astimezone() if until else None
    ask(ctx, lambda admin: admin.set_skill(user_id, name, level, valid_to=valid_to))
    output.say(f"{user_id} has {name} at level {level}." if level else f"{user_id} does not have {name} any more.")


@app.command("capacity")
def capacity(
    ctx: typer.Context,
    user_id: StaffId,
    units: Annotated[float, typer.Argument(metavar="UNITS", min=0, max=1000, help="0: nothing is given to them.")],
) -> None:
    """How much somebody can have in work at once; a conversation in which it is our turn is one unit."""
    ask(ctx, lambda admin: admin.set_capacity(user_id, units))
    output.say(f"{user_id} can have {units:g} units in work.")


@app.command("status")
def status(
    ctx: typer.Context,
    user_id: StaffId,
    value: Annotated[
        Availability | None, typer.Argument(metavar="[VALUE]", help=f"One of {', '.join(CHOSEN)}; none shows it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What somebody can take now, or what they shall be able to take from now on."""
    if value is None:
        labels = {"availability": "status", "since": "since"}
        return output.details(ask(ctx, lambda admin: admin.status(user_id)), as_json=as_json, labels=labels)
    if value not in CHOSEN:
        raise typer.BadParameter(f"{value} is not one of {', '.join(CHOSEN)}", param_hint="VALUE")
    ask(ctx, lambda admin: admin.set_status(user_id, value))
    output.say(f"{user_id} is {value} now.")
