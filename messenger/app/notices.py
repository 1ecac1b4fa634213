"""The desk's own lines: which words they have in the end. The effects name texts, ids and moments."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from messenger.app import help, render
from messenger.app.erased import customer_name
from messenger.app.orders import UNWIRED
from messenger.app.ports import UnitOfWork
from messenger.app.records import Case
from messenger.app.why import explained
from messenger.domain.ids import AgentId, GroupId, MessageId
from messenger.domain.people import Role
from messenger.domain.staff_commands import COMMANDS
from messenger.i18n import Field, Texts, texts

Fields = Mapping[str, Field | datetime]


def worded(words: Texts, text: str, clock: render.Clock, fields: Fields) -> render.Rendered:
    """Any text of the catalogue; `S33` is the help, made from the commands that this version carries out, `why` the
    explanation of a decision, line by line."""
    if text == "why":
        return explained(words, str(fields.get("lines", "")), clock)
    if text != "S33":
        return render.notice(words, text, clock=clock, **fields)
    offered = [command for command in COMMANDS if command.name not in UNWIRED]
    role = Role(str(fields.get("role", Role.AGENT)))
    return help.answer(words, offered, str(fields.get("topic", "")), role)


async def filled(unit: UnitOfWork, case: Case, fields: Mapping[str, str]) -> dict[str, str | datetime]:
    """Field values as people read them: staff ids become names, moments become moments again."""
    words = texts(case.group.language)
    name = customer_name(words, case.chat)
    filled: dict[str, str | datetime] = {"ref": case.conversation.number, "label": name, "channel": "Matrix"}
    filled["to_group"] = case.group.name
    filled["name"] = name or words.plain("label.customer")
    for name, value in fields.items():
        filled[name] = await _value_of(unit, case, name, value)
    return filled


async def _value_of(unit: UnitOfWork, case: Case, name: str, value: str) -> str | datetime:
    match name:
        case "members" if value:
            return ", ".join(member.name for member in await unit.case_members.of(case.conversation.id))
        case "person" if _is_id(value):
            return (await unit.people.agent(AgentId(UUID(value)))).name
        case "owner" | "by" if value:
            return await person_named(unit, texts(case.group.language), value)
        case "at" | "until" | "since" if value:
            return datetime.fromisoformat(value)
        case "note" if value:
            return (await unit.messages.get(MessageId(UUID(value)))).content.text
        case "group" if value:
            return (await unit.people.group(GroupId(UUID(value)))).name
        case _:
            return value


async def person_named(unit: UnitOfWork, words: Texts, by: str) -> str:
    """`by`: the id of a colleague, or an operator (`shell:0`), who has no name here."""
    if by.startswith("shell:"):
        return words.plain("label.operator")
    return (await unit.people.agent(AgentId(UUID(by)))).name


def _is_id(value: str) -> bool:
    try:
        return bool(UUID(value))
    except ValueError:
        return False
