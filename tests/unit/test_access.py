"""The rule of access, row by row: what each role may with its own and with a foreign conversation."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.domain.access import (
    ABOUT_CONVERSATION,
    COMMAND_ACTIONS,
    CONTENT,
    IN_HOUSE,
    Action,
    Actor,
    HouseRole,
    Target,
    authorize,
    conflict,
)
from messenger.domain.command_table import COMMANDS
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Role

A = Action
OWN, OTHER, ME = GroupId(uuid4()), GroupId(uuid4()), AgentId(uuid4())
MINE = Target(conversation=ConversationId(uuid4()), group=OWN)
FOREIGN = Target(conversation=ConversationId(uuid4()), group=OTHER)

ACTORS: Mapping[str, Actor] = {
    "agent": Actor(agent=ME, seats={OWN: Role.AGENT}),
    "clerk": Actor(agent=ME, seats={OWN: Role.CLERK}),
    "lead": Actor(agent=ME, seats={OWN: Role.LEAD}),
    "admin": Actor(agent=ME, roles=frozenset({HouseRole.ADMIN})),
    "auditor": Actor(agent=ME, roles=frozenset({HouseRole.AUDITOR})),
    "dpo": Actor(agent=ME, roles=frozenset({HouseRole.DPO})),
    "partner": Actor(agent=ME, roles=frozenset({HouseRole.PARTNER})),
    "service": Actor(roles=frozenset({HouseRole.SERVICE}), scopes=frozenset({f"conv:read:{OWN}"})),
    "nobody": Actor(agent=ME),
}
READS, WORKS = {A.READ, A.SEE}, {A.READ, A.SEE, A.NOTE, A.ANSWER, A.TAKE, A.WORK, A.ROOM}
AT_OWN: Mapping[str, set[Action]] = {
    "agent": WORKS,
    "clerk": {A.READ, A.SEE, A.NOTE},
    "lead": WORKS | {A.LEAD},
    "service": READS,
}
BESIDE: Mapping[str, set[Action]] = {
    "agent": {A.SELF, A.LIST, A.START, A.GLASS},
    "clerk": {A.SELF},
    "lead": {A.SELF, A.LIST, A.START, A.GLASS, A.TRUST},
    "admin": {A.CONFIGURE, A.OPERATE, A.OVERSEE},
    "auditor": {A.AUDIT},
    "dpo": {A.EXPORT, A.ERASE, A.RESTRICT},
}


@pytest.mark.parametrize(("who", "action"), list(product(ACTORS, Action)))
def test_each_role_may_what_the_table_says_and_nothing_else(who: str, action: Action) -> None:
    actor = ACTORS[who]
    if action in ABOUT_CONVERSATION:
        assert authorize(actor, action, MINE).is_allowed == (action in AT_OWN.get(who, set()))
        assert not authorize(actor, action, FOREIGN).is_allowed
        assert not authorize(actor, action).is_allowed
    else:
        assert authorize(actor, action).is_allowed == (action in BESIDE.get(who, set()))


def test_every_role_stands_in_the_table() -> None:
    assert {*Role, *HouseRole} == set(ACTORS) - {"nobody"}
    assert set(IN_HOUSE) == set(HouseRole)


def test_each_command_has_a_policy_and_each_policy_a_command() -> None:
    """A new command without one fails here, and would be refused to everybody."""
    assert set(COMMAND_ACTIONS) == {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_who_may_ever_use_a_command_is_the_same_in_help_and_at_the_gate(command) -> None:  # type: ignore[no-untyped-def]
    action = COMMAND_ACTIONS[command.name]
    for role in Role:
        allowed = authorize(Actor(agent=ME, seats={OWN: role}), action, MINE).is_allowed
        assert allowed or not command.is_for(role), f"{role} reads of !{command.name} and is refused"


def _in_room(*members: AgentId) -> Target:
    return replace(MINE, members=frozenset(members))


def test_a_room_of_its_own_is_closed_to_the_group_but_it_can_be_taken() -> None:
    for who in ("agent", "lead"):
        allowed = {action for action in ABOUT_CONVERSATION if authorize(ACTORS[who], action, _in_room()).is_allowed}
        assert allowed == {A.TAKE}
    assert authorize(ACTORS["agent"], A.READ, _in_room()).reason == "own_room"
    assert authorize(ACTORS["agent"], A.READ, _in_room(ME)).is_allowed


def test_a_member_from_elsewhere_is_an_agent_there_or_a_clerk() -> None:
    foreign = replace(FOREIGN, members=frozenset({ME}))
    assert authorize(ACTORS["agent"], A.ANSWER, foreign).is_allowed
    assert authorize(ACTORS["clerk"], A.NOTE, foreign).is_allowed
    assert not authorize(ACTORS["clerk"], A.ANSWER, foreign).is_allowed


def test_a_member_without_any_seat_reads_nothing() -> None:
    assert not authorize(ACTORS["nobody"], A.READ, replace(FOREIGN, members=frozenset({ME}))).is_allowed


def test_behind_the_glass_one_reads_and_does_nothing_else() -> None:
    broken = replace(ACTORS["agent"], glass=frozenset({FOREIGN.conversation}))
    allowed = {action for action in ABOUT_CONVERSATION if authorize(broken, action, FOREIGN).is_allowed}
    assert allowed == READS and authorize(broken, A.READ, FOREIGN).reason == "glass"
    assert not authorize(replace(broken, seats={}), A.READ, FOREIGN).is_allowed
    assert not authorize(replace(broken, seats={OWN: Role.CLERK}), A.READ, FOREIGN).is_allowed
    assert authorize(broken, A.READ, replace(FOREIGN, members=frozenset())).is_allowed


def test_a_partner_reads_what_is_shared_with_them_and_notes_nothing() -> None:
    shared = replace(FOREIGN, partners=frozenset({ME}))
    allowed = {action for action in ABOUT_CONVERSATION if authorize(ACTORS["partner"], action, shared).is_allowed}
    assert allowed == READS


def test_a_token_reads_and_writes_only_in_the_groups_of_its_scopes() -> None:
    writer = replace(ACTORS["service"], scopes=frozenset({f"conv:write:{OTHER}"}))
    assert authorize(writer, A.ANSWER, FOREIGN).is_allowed and not authorize(writer, A.READ, FOREIGN).is_allowed
    assert not authorize(writer, A.ANSWER, MINE).is_allowed
    assert not authorize(writer, A.ANSWER, replace(FOREIGN, members=frozenset())).is_allowed


SEATS = st.dictionaries(st.sampled_from([OWN, OTHER]), st.sampled_from(list(Role)))
ROLES = st.frozensets(st.sampled_from(list(HouseRole)))


@given(SEATS, ROLES)
def test_whoever_may_configure_sees_no_content_where_no_conflict_was_granted(
    seats: dict[GroupId, Role], roles: frozenset[HouseRole]
) -> None:
    if conflict(list(seats.values()), roles):
        return
    shared = frozenset({ME})
    actor = Actor(agent=ME, seats=seats, roles=roles - {HouseRole.SERVICE}, glass=frozenset({FOREIGN.conversation}))
    targets = [replace(target, partners=shared, members=own) for target in (MINE, FOREIGN) for own in (None, shared)]
    sees = any(authorize(actor, action, target).is_allowed for action in CONTENT for target in targets)
    assert not (sees and authorize(actor, A.CONFIGURE).is_allowed)


@given(SEATS, ROLES, st.sampled_from(sorted(ABOUT_CONVERSATION)))
def test_nobody_reaches_a_conversation_of_a_group_without_a_seat_there(
    seats: dict[GroupId, Role], roles: frozenset[HouseRole], action: Action
) -> None:
    actor = Actor(agent=ME, seats=seats, roles=roles)
    assert authorize(actor, action, FOREIGN).is_allowed <= (OTHER in seats)
