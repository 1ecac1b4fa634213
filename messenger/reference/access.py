"""The page of roles and actions, worked out by asking the rule itself."""

from collections.abc import Mapping
from uuid import UUID

from messenger.cli.policies import VERBS
from messenger.domain.access import (
    ABOUT_CONVERSATION,
    BESIDE_ACTIONS,
    COMMAND_ACTIONS,
    Action,
    Actor,
    HouseRole,
    Target,
    authorize,
)
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Role

_HEAD = """<!-- Made by `python -m messenger.reference`; a test compares. Do not edit. -->
# Roles and what they may do

What no row allows is refused. *own*: conversations of a group in which the person has this role; *shared*: cases that
were shared with them; *scope*: groups that the token names. A conversation in a room of its own counts as own for those
who are in that room; its group may only take it. How to give roles and how to read the log:
[roles and audit](../how-to/roles-and-audit.md).

"""
_MEANINGS: Mapping[Action, str] = {
    Action.READ: "what was said",
    Action.SEE: "state, owner, reasons, what became of a message",
    Action.NOTE: "write a note, put tags; words of a clerk never leave",
    Action.ANSWER: "approve an answer",
    Action.TAKE: "claim, give back, assign, hand over, resolve",
    Action.WORK: "pause, resume, reopen",
    Action.ROOM: "its own room, and who is in it",
    Action.LEAD: "what only a lead decides",
    Action.GLASS: "break the glass: read a foreign conversation for an hour, with a reason",
    Action.LIST: "what waits in one's groups, what is one's own, the next one",
    Action.START: "write first",
    Action.TRUST: "decide whose keys are right",
    Action.SELF: "one's own status, help, verify the desk",
    Action.OVERSEE: "states and counts of conversations and contacts, nothing that was said",
    Action.CONFIGURE: "groups, people, roles, consents",
    Action.OPERATE: "start, migrate, back up, keys",
    Action.AUDIT: "read and verify the audit log",
    Action.EXPORT: "export a person's data",
    Action.ERASE: "erase a person",
    Action.RESTRICT: "legal hold, restriction",
}
_GROUP, _OTHER, _ME = GroupId(UUID(int=1)), GroupId(UUID(int=2)), AgentId(UUID(int=3))
_OWN = Target(conversation=ConversationId(UUID(int=4)), group=_GROUP)
_SHARED = Target(conversation=ConversationId(UUID(int=5)), group=_OTHER, partners=frozenset({_ME}))
_SCOPES = frozenset({f"conv:read:{_GROUP}", f"conv:write:{_GROUP}"})
_ACTORS: Mapping[str, Actor] = {
    **{role.value: Actor(agent=_ME, seats={_GROUP: role}) for role in Role},
    **{role.value: Actor(agent=_ME, roles=frozenset({role})) for role in HouseRole},
    HouseRole.SERVICE.value: Actor(roles=frozenset({HouseRole.SERVICE}), scopes=_SCOPES),
}


def page() -> str:
    """The whole page, Markdown."""
    rows = [_row(action) for action in Action]
    head = f"| what | in the log | {' | '.join(_ACTORS)} |\n|{'---|' * (len(_ACTORS) + 2)}\n"
    return _HEAD + head + "\n".join(rows) + "\n" + _commands() + _verbs()


def _row(action: Action) -> str:
    cells = [_MEANINGS[action], f"`{action}`", *(_cell(actor, action) for actor in _ACTORS.values())]
    return f"| {' | '.join(cells)} |"


def _cell(actor: Actor, action: Action) -> str:
    if action not in ABOUT_CONVERSATION:
        return "yes" if authorize(actor, action).is_allowed else ""
    if authorize(actor, action, _OWN).is_allowed:
        return "scope" if actor.scopes else "own"
    return "shared" if authorize(actor, action, _SHARED).is_allowed else ""


def _commands() -> str:
    lines = []
    for name, action in COMMAND_ACTIONS.items():
        beside = BESIDE_ACTIONS[name]
        also = "" if beside is action else f"; beside a conversation `{beside}`"
        lines.append(f"| `!{name}` | `{action}`{also} |")
    return "\n## Commands\n\n| command | asks for |\n|---|---|\n" + "\n".join(lines) + "\n"


def _verbs() -> str:
    lines = [f"| `stellwerk {verb}` | `{action}` |" for verb, action in VERBS.items()]
    return "\n## Verbs\n\n| verb | asks for |\n|---|---|\n" + "\n".join(lines) + "\n"
