"""Who may do what: one pure rule for every way in. Nothing is allowed that is not named here.

A conversation belongs to a group, and a group's people may read it, as far as their role there goes. One with a room of
its own is read only by those who are in that room; the group may still take it, hand it over or end it, so that it
never gets stuck with somebody who is gone. Content and configuration never come together in one person."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Role


class HouseRole(StrEnum):
    """What somebody is in the whole installation, besides their roles in groups."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    DPO = "dpo"
    PARTNER = "partner"
    SERVICE = "service"


class Action(StrEnum):
    """What can be asked for. The first ones are about one conversation."""

    READ = "conversation.read"  # what was said
    SEE = "conversation.see"  # its state, its tags, what became of a message
    NOTE = "conversation.note"
    ANSWER = "conversation.answer"
    TAKE = "conversation.take"  # claim, give back, hand over, end: also from outside of its own room
    WORK = "conversation.work"  # let it rest, go on
    ROOM = "conversation.room"  # its own room, and who is in it
    LEAD = "conversation.lead"  # what only a lead decides
    GLASS = "conversation.glass"  # break the glass: read what one may not read
    LIST = "desk.list"  # what waits, and what is one's own
    START = "desk.start"  # write first
    TRUST = "desk.trust"  # vouch for a colleague's keys
    SELF = "desk.self"  # one's own status, help
    OVERSEE = "house.oversee"  # states and counts of all conversations, nothing that was said
    CONFIGURE = "house.configure"
    OPERATE = "house.operate"  # start, stop, migrate, examine
    AUDIT = "house.audit"
    EXPORT = "person.export"
    ERASE = "person.erase"
    RESTRICT = "person.restrict"


_CLERK = frozenset({Action.READ, Action.SEE, Action.NOTE})
_AGENT = _CLERK | {Action.ANSWER, Action.TAKE, Action.WORK, Action.ROOM}
IN_GROUP: Mapping[Role, frozenset[Action]] = {
    Role.CLERK: _CLERK,
    Role.AGENT: _AGENT,
    Role.LEAD: _AGENT | {Action.LEAD},
}
# About no conversation, or about one that is foreign: with a seat in any group.
AT_DESK: Mapping[Role, frozenset[Action]] = {
    Role.CLERK: frozenset({Action.SELF}),
    Role.AGENT: frozenset({Action.SELF, Action.LIST, Action.START, Action.GLASS}),
    Role.LEAD: frozenset({Action.SELF, Action.LIST, Action.START, Action.GLASS, Action.TRUST}),
}
IN_HOUSE: Mapping[HouseRole, frozenset[Action]] = {
    HouseRole.ADMIN: frozenset({Action.CONFIGURE, Action.OPERATE, Action.OVERSEE}),
    HouseRole.AUDITOR: frozenset({Action.AUDIT}),
    HouseRole.DPO: frozenset({Action.EXPORT, Action.ERASE, Action.RESTRICT}),
    HouseRole.PARTNER: frozenset(),
    HouseRole.SERVICE: frozenset(),
}
# Nothing is behind the others yet: no case is shared with a partner, no token is made. They are not given to anybody.
GRANTABLE = (HouseRole.ADMIN, HouseRole.AUDITOR, HouseRole.DPO)
# What the glass opens, and what a partner may with a case that was shared with them.
BEHIND_GLASS = frozenset({Action.READ, Action.SEE})
SHARED = frozenset({Action.READ, Action.SEE})
ABOUT_CONVERSATION = frozenset(action for action in Action if action.value.startswith("conversation.")) - {Action.GLASS}
CONTENT = frozenset({Action.READ, Action.NOTE, Action.ANSWER, Action.EXPORT})
# Scopes of tokens: `conv:read:<group>`, `conv:write:<group>`.
_SCOPES = {"read": frozenset({Action.READ, Action.SEE}), "write": frozenset({Action.NOTE, Action.ANSWER, Action.WORK})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `glass`: the foreign conversations that this person has broken the glass of, and may still read."""

    agent: AgentId | None = None
    seats: Mapping[GroupId, Role] = field(default_factory=dict)
    roles: frozenset[HouseRole] = frozenset()
    scopes: frozenset[str] = frozenset()
    glass: frozenset[ConversationId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A conversation as the gate sees it. `members`: who is in its own room, None if it has none. `partners`: with whom
    it is shared."""

    conversation: ConversationId
    group: GroupId | None
    members: frozenset[AgentId] | None = None
    partners: frozenset[AgentId] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is a code of the rule that decided, for the audit log and for the text of a refusal."""

    is_allowed: bool
    reason: str


def authorize(actor: Actor, action: Action, target: Target | None = None) -> Decision:
    """`target` is needed for what is about a conversation. What no rule allows is refused."""
    if action in ABOUT_CONVERSATION:
        return _about(actor, action, target) if target is not None else _refused("no_target")
    for seat in actor.seats.values():
        if action in AT_DESK[seat]:
            return _allowed("seat")
    for role in sorted(actor.roles):
        if action in IN_HOUSE[role]:
            return _allowed(role.value)
    return _refused("role")


def _about(actor: Actor, action: Action, target: Target) -> Decision:
    is_member = target.members is not None and actor.agent in target.members
    role = _role_at(actor, target, is_member=is_member)
    if role is not None and (target.members is None or is_member or action is Action.TAKE):
        if action in IN_GROUP[role]:
            return _allowed("member" if is_member else "group")
        return _refused("role")
    if action in BEHIND_GLASS and target.conversation in actor.glass and _may_break_glass(actor):
        return _allowed("glass")
    if action in SHARED and HouseRole.PARTNER in actor.roles and actor.agent in target.partners:
        return _allowed("shared")
    if HouseRole.SERVICE in actor.roles and target.members is None and _in_scope(actor, action, target):
        return _allowed("scope")
    return _refused("own_room" if role is not None else "foreign")


def _role_at(actor: Actor, target: Target, *, is_member: bool) -> Role | None:
    """In its group; whoever was asked into its own room from elsewhere is an agent there if they may answer anywhere,
    and else a clerk. Without a seat anywhere nobody reads anything."""
    here = actor.seats.get(target.group) if target.group is not None else None
    if here is not None or not is_member or not actor.seats:
        return here
    return Role.AGENT if any(role.can_answer for role in actor.seats.values()) else Role.CLERK


def _may_break_glass(actor: Actor) -> bool:
    return authorize(actor, Action.GLASS).is_allowed


def _in_scope(actor: Actor, action: Action, target: Target) -> bool:
    return any(action in actions and f"conv:{name}:{target.group}" in actor.scopes for name, actions in _SCOPES.items())


def conflict(seats: Collection[Role], roles: Collection[HouseRole]) -> bool:
    """Would one person see content and change the configuration?"""
    sees_content = bool(seats) or HouseRole.DPO in roles or HouseRole.PARTNER in roles
    return HouseRole.ADMIN in roles and sees_content


def _allowed(reason: str) -> Decision:
    return Decision(True, reason)


def _refused(reason: str) -> Decision:
    return Decision(False, reason)


# What each command of the staff asks for. A command that is not here is not carried out. Words of a message may be
# written by whoever may note; `domain.replies` decides whether they leave, and a clerk's never do.
COMMAND_ACTIONS: Mapping[str, Action] = {
    "claim": Action.TAKE,
    "release": Action.TAKE,
    "assign": Action.TAKE,
    "transfer": Action.TAKE,
    "pause": Action.WORK,
    "resume": Action.WORK,
    "resolve": Action.TAKE,
    "reopen": Action.WORK,
    "note": Action.NOTE,
    "r": Action.NOTE,
    "later": Action.NOTE,
    "undo": Action.NOTE,
    "tag": Action.NOTE,
    "history": Action.READ,
    "who": Action.SEE,
    "why": Action.SEE,
    "fate": Action.SEE,
    "room": Action.ROOM,
    "invite": Action.ROOM,
    "remove": Action.ROOM,
    "glass": Action.GLASS,
    "start": Action.START,
    "queue": Action.LIST,
    "mine": Action.LIST,
    "next": Action.LIST,
    "flood": Action.LIST,
    "status": Action.SELF,
    "trust": Action.TRUST,
    "verify": Action.SELF,
    "help": Action.SELF,
}
# Outside of any conversation a word may ask for something else: `!remove` there decides an alert about trust.
BESIDE_ACTIONS: Mapping[str, Action] = {**COMMAND_ACTIONS, "remove": Action.TRUST}
