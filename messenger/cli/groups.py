"""`stellwerk group`: skill groups, who is in them, and which conversations go to them."""

from typing import Annotated

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, StaffId
from messenger.cli.state import Failed
from messenger.domain.people import DevicePolicy, ReplyMode

ROLES = ("agent", "clerk", "lead")

app = typer.Typer(no_args_is_help=True, help="Skill groups.")
member = typer.Typer(no_args_is_help=True, help="Who is in a group.")
rule = typer.Typer(no_args_is_help=True, help="Which conversations go to a group.")
app.add_typer(member, name="member")
app.add_typer(rule, name="rule")

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.")]
Languages = Annotated[list[str] | None, typer.Option("--language", "-l", help="This language goes here.")]
Keywords = Annotated[list[str] | None, typer.Option("--keyword", "-k", help="This word goes here.")]


@app.command("add")
def add(
    ctx: typer.Context,
    name: GroupName,
    default: Annotated[bool, typer.Option("--default", help="Everything that no rule places goes here.")] = False,
    languages: Languages = None,
    keywords: Keywords = None,
    reply_mode: Annotated[
        ReplyMode, typer.Option(help="Whose plain messages in a thread reach the customer; explicit: only !r does.")
    ] = ReplyMode.OWNER,
    device_policy: Annotated[
        DevicePolicy, typer.Option(help="Which devices of the staff get the keys of the group's room.")
    ] = DevicePolicy.CROSS_SIGNED_TOFU,
) -> None:
    """Makes a group. The desk makes its room at once if it runs, otherwise at its next start."""
    rules = {"languages": tuple(languages or ()), "keywords": tuple(keywords or ())}
    settings = {"reply_mode": reply_mode.value, "device_policy": device_policy.value}
    ask(ctx, lambda admin: admin.add_group(name, default=default, **rules, **settings))
    output.say(f"Group {name} added. Add people: stellwerk group member add {_quoted(name)} @name:server --role agent")


@app.command("list")
def list_groups(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All groups with their rules."""
    columns = {"name": "group", "is_default": "default", "languages": "languages", "keywords": "keywords"}
    empty = "No group yet: stellwerk group add General --default"
    output.listing(ask(ctx, lambda admin: admin.groups()), columns, as_json=as_json, empty=empty)


@member.command("add")
def member_add(
    ctx: typer.Context,
    group: GroupName,
    user_id: StaffId,
    role: Annotated[str, typer.Option("--role", "-r", help="agent, clerk (reads and notes) or lead.")] = "agent",
) -> None:
    """Puts a person into a group. The desk invites them to the group's room and hands them its earlier messages."""
    if role not in ROLES:
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(ROLES)}", param_hint="--role")
    ask(ctx, lambda admin: admin.add_member(group, user_id, role))
    output.say(f"{user_id} is {role} in {group}.")


@member.command("remove")
def member_remove(ctx: typer.Context, group: GroupName, user_id: StaffId) -> None:
    """Takes a person out of a group and its room. They cannot read what is written from then on."""
    ask(ctx, lambda admin: admin.remove_member(group, user_id))
    output.say(f"{user_id} is no longer in {group}.")


@member.command("list")
def member_list(ctx: typer.Context, group: GroupName, as_json: AsJson = False) -> None:
    """Who is in a group, and in which role."""
    columns = {"address": "user id", "name": "name", "role": "role"}
    rows = ask(ctx, lambda admin: admin.members(group))
    output.listing(rows, columns, as_json=as_json, empty=f"Nobody is in {group} yet.")


@rule.command("add")
def rule_add(ctx: typer.Context, group: GroupName, languages: Languages = None, keywords: Keywords = None) -> None:
    """Adds languages or keywords to a group."""
    if not languages and not keywords:
        raise typer.BadParameter("name at least one --language or --keyword")
    rules = {"languages": tuple(languages or ()), "keywords": tuple(keywords or ())}
    ask(ctx, lambda admin: admin.add_rule(group, **rules))
    output.say(f"Rules of {group} extended.")


@rule.command("list")
def rule_list(ctx: typer.Context, group: GroupName, as_json: AsJson = False) -> None:
    """The rules of one group."""
    groups = ask(ctx, lambda admin: admin.groups())
    found = [row for row in groups if row.name.casefold() == group.casefold()]
    if not found:
        raise Failed(f"there is no group {group}: stellwerk group list shows all")
    labels = {"name": "group", "is_default": "default", "languages": "languages", "keywords": "keywords"}
    output.details(found[0], as_json=as_json, labels=labels)


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
