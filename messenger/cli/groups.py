"""`stellwerk group`: skill groups, who is in them, and which conversations go to them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from messenger.cli import output
from messenger.cli.admin import ask
from messenger.cli.options import AsJson, StaffId
from messenger.cli.state import Failed
from messenger.domain import group_settings
from messenger.domain.people import DevicePolicy, ReplyMode

if TYPE_CHECKING:
    from messenger.queries.people import GroupDetails

ROLES = ("agent", "clerk", "lead")

app = typer.Typer(no_args_is_help=True, help="Skill groups.")
member = typer.Typer(no_args_is_help=True, help="Who is in a group.")
rule = typer.Typer(no_args_is_help=True, help="Which conversations go to a group.")
app.add_typer(member, name="member")
app.add_typer(rule, name="rule")

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.")]
_LANGUAGE = re.compile(r"[a-z]{2,3}")  # as `app.languages.detect` names them


def _are_languages(values: list[str] | None) -> list[str] | None:
    codes = [value.strip().lower() for value in values or ()]
    for code in codes:
        if not _LANGUAGE.fullmatch(code):
            raise typer.BadParameter(f"{code!r} is no code of a language like de, en or zh")
    return codes or None


Languages = Annotated[
    list[str] | None,
    typer.Option("--language", "-l", help="This language goes here: its code, as de.", callback=_are_languages),
]
Assignments = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="For example reply_mode=explicit.")]
Accounts = Annotated[
    list[str] | None, typer.Option("--account", "-a", help="What comes in by this channel account goes here.")
]
Keywords = Annotated[list[str] | None, typer.Option("--keyword", "-k", help="This word goes here.")]


@app.command("add")
def add(
    ctx: typer.Context,
    name: GroupName,
    default: Annotated[bool, typer.Option("--default", help="Everything that no rule places goes here.")] = False,
    languages: Languages = None,
    keywords: Keywords = None,
    reply_mode: Annotated[
        ReplyMode | None,
        typer.Option(help="Whose plain messages in a thread reach the customer; explicit: only !r does."),
    ] = None,
    device_policy: Annotated[
        DevicePolicy | None, typer.Option(help="Which devices of the staff get the keys of the group's room.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the group; repeatable.")
    ] = None,
) -> None:
    """Makes a group. The desk makes its room at once if it runs, otherwise at its next start."""
    rules = {"languages": tuple(languages or ()), "keywords": tuple(keywords or ())}
    options = {"reply_mode": reply_mode, "device_policy": device_policy}
    settings = {key: value for key, value in options.items() if value} | settings_of(assignments or [])
    ask(ctx, lambda admin: admin.add_group(name, default=default, **rules, **settings))
    output.say(f"Group {name} added. Add people: stellwerk group member add {_quoted(name)} @name:server --role agent")


@app.command("list")
def list_groups(ctx: typer.Context, as_json: AsJson = False) -> None:
    """All groups with their rules."""
    columns = {"name": "group", "is_default": "default", "languages": "languages", "keywords": "keywords"}
    empty = "No group yet: stellwerk group add General --default"
    output.listing(ask(ctx, lambda admin: admin.groups()), columns, as_json=as_json, empty=empty)


@app.command("show")
def show(ctx: typer.Context, name: GroupName, as_json: AsJson = False) -> None:
    """A group with all its settings; * marks what was set, everything else is the default."""
    group = _details(ctx, name)
    if as_json:
        output.say(output.dump(output.plain(group)))
        return
    labels = {"name": "group", "is_default": "default", "languages": "languages", "keywords": "keywords"}
    output.details(group, as_json=False, labels=labels)
    width = max(map(len, group.settings))
    for key, value in group_settings.load(group.settings).items():
        mark = "*" if key in group.changed else " "
        output.say(f"{mark} {key:<{width}}  {group_settings.show(key, value) or '-'}")


@app.command("set")
def set_(ctx: typer.Context, name: GroupName, assignments: Assignments) -> None:
    """Changes settings of a group; they hold at once. What there is: docs/reference/group-settings.md."""
    settings = settings_of(assignments)
    ask(ctx, lambda admin: admin.change_group(name, **settings))
    for key, value in settings.items():
        output.say(f"{key} = {group_settings.show(key, value) or '(empty)'}")
    known = {group.name.casefold() for group in ask(ctx, lambda admin: admin.groups())}
    for other in (*settings.get("transfer_to", ()), settings.get("fallback_group", "")):
        if other and other.casefold() not in known:
            output.warn(f"there is no group {other} yet: stellwerk group list")


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
    is_known = ask(ctx, lambda admin: admin.add_member(group, user_id, role))
    output.say(f"{user_id} is {role} in {group}.")
    if not is_known:
        output.warn(f"{user_id} was not known before. Is it spelled right? A name: stellwerk agent add {user_id} NAME")


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
def rule_add(
    ctx: typer.Context,
    group: GroupName,
    languages: Languages = None,
    keywords: Keywords = None,
    accounts: Accounts = None,
) -> None:
    """Adds languages, keywords or channel accounts to a group.

    The accounts are asked first: one that groups name belongs to these groups alone. Then come keywords, then
    languages, then the default group.
    """
    if not languages and not keywords and not accounts:
        raise typer.BadParameter("name at least one --language, --keyword or --account")
    rules = {
        "languages": tuple(languages or ()),
        "keywords": tuple(keywords or ()),
        "accounts": tuple(accounts or ()),
    }
    ask(ctx, lambda admin: admin.add_rule(group, **rules))
    output.say(f"Rules of {group} extended.")


@rule.command("list")
def rule_list(ctx: typer.Context, group: GroupName, as_json: AsJson = False) -> None:
    """The rules of one group."""
    groups = ask(ctx, lambda admin: admin.groups())
    found = [row for row in groups if row.name.casefold() == group.casefold()]
    if not found:
        raise Failed(f"there is no group {group}: stellwerk group list shows all")
    labels = {
        "name": "group",
        "is_default": "default",
        "accounts": "accounts",
        "keywords": "keywords",
        "languages": "languages",
        "hours": "hours",
        "menu_label": "menu label",
    }
    output.details(found[0], as_json=as_json, labels=labels)


def settings_of(assignments: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE as typed values; wrong ones are wrong usage."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign:
            raise typer.BadParameter(f"{assignment!r} is not of the form KEY=VALUE")
        try:
            settings[key.strip()] = group_settings.parse(key.strip(), text)
        except group_settings.WrongSetting as error:
            raise typer.BadParameter(str(error)) from None
    return settings


def _details(ctx: typer.Context, name: str) -> "GroupDetails":
    group = ask(ctx, lambda admin: admin.group(name))
    if group is None:
        raise Failed(f"there is no group {name}: stellwerk group list shows all")
    return group


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
