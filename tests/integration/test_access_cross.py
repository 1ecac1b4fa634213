"""Commands, roles, own and foreign conversations, all with all, from the program's own tables: what the rule of access
says is what happens when the command is really given. A new command and a new role are tried by themselves."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects import customer
from messenger.app.items import StaffSaid
from messenger.app.records import Trace
from messenger.domain.access import (
    ABOUT_CONVERSATION,
    BEHIND_GLASS,
    BESIDE_ACTIONS,
    COMMAND_ACTIONS,
    GRANTABLE,
    Action,
    Actor,
    HouseRole,
    Target,
    authorize,
)
from messenger.domain.command_table import COMMANDS, StaffCommand
from messenger.domain.ids import AgentId, GroupId
from messenger.domain.people import Role
from messenger.queries.audit import AuditRow, rows
from messenger.storage.audit_verify import verify
from messenger.storage.models.audit import audit
from messenger.storage.models.conversations import event_log
from messenger.storage.models.people import skill_group, staff
from messenger.storage.models.queues import outbox
from tests.integration.staff_desk import DESK, GROUP, ROOM, StaffDesk, customer_says, staff_says
from tests.integration.test_commands_outside import give_room, has_direct_chat

OTHER, STRANGER = "Other", "@stranger:x"
# Whom the examples of the table name, and where they hand over to.
COLLEAGUE, ELSEWHERE, REFERENCE = "@ben:example.org", "Prescriptions", "K-4F7Q"
# What the gate says where it refuses, and the domain where it asks for a role again.
FORBIDDEN = {"role", "foreign", "own_room", "no_target", "not_allowed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Someone:
    """One role, held by one person. `seat` is in `group`: that of the conversations here, or another one."""

    address: str
    group: str = ""
    seat: Role | None = None
    house: HouseRole | None = None
    actor: Actor = field(default_factory=Actor)

    @property
    def chat(self) -> str:
        return f"!{self.address[1:-2]}-and-desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A conversation of `GROUP`, as the gate sees it, and its thread."""

    target: Target
    number: str
    thread: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one command has left behind: events of any conversation, effects by name, its rows in the audit log."""

    events: int
    effects: Sequence[str]
    rows: Sequence[AuditRow]

    @property
    def at_customer(self) -> Sequence[str]:
        return [name for name in self.effects if hasattr(customer, name)]


def everybody() -> Sequence[Someone]:
    """Each seat here and in another group, each role of the house without a seat; a colleague who holds nothing; and
    somebody whom nobody knows."""
    own = [Someone(address=f"@own-{seat.value}:x", group=GROUP, seat=seat) for seat in Role]
    foreign = [Someone(address=f"@other-{seat.value}:x", group=OTHER, seat=seat) for seat in Role]
    house = [Someone(address=f"@{role.value}:x", house=role) for role in GRANTABLE]
    return [*own, *foreign, *house, Someone(address="@nothing:x"), Someone(address=STRANGER)]


OWNER = next(one.address for one in everybody() if one.group == GROUP and one.seat is Role.AGENT)


class World:
    def __init__(self, desk: StaffDesk) -> None:
        self.desk = desk
        self.people: Sequence[Someone] = ()
        self._group: GroupId | None = None
        self._cases = 0

    async def set_up(self) -> None:
        await self.desk.set_up([COLLEAGUE])
        for group in (OTHER, ELSEWHERE):
            await self.desk.add_group(group)
        await self.desk.add_member(OTHER, COLLEAGUE)  # a lead vouches only for people of their groups
        await give_room(self.desk, GROUP, ROOM)
        for one in everybody():
            await self._appoint(one)
        async with self.desk.engine.begin() as connection:
            staff_ids = {
                row.address: row.id for row in await connection.execute(sa.select(staff.c.address, staff.c.id))
            }
            group_ids = {row.name: row.id for row in await connection.execute(sa.select(skill_group))}
        self._group = group_ids[GROUP]
        self.people = [replace(one, actor=_actor(one, staff_ids.get(one.address), group_ids)) for one in everybody()]

    async def _appoint(self, one: Someone) -> None:
        change = self.desk._change
        if one.address != STRANGER:
            await change.add_agent(one.address, one.address, "en")
        if one.seat is not None:
            await change.add_member(one.group, one.address, one.seat)
        if one.house is not None:
            await change.grant_role(one.address, one.house)

    async def case(self, owner: str = "") -> Case:
        """One more conversation, which `owner` has claimed, or nobody."""
        self._cases += 1
        before, name = set(await self.desk.conversations()), f"n{self._cases}"
        await self.desk.greet(f"@{name}:x", name, chat=f"!{name}")
        await self.desk.put(customer_says(f"${name}", "Hello", sender=f"@{name}:x", chat=f"!{name}"))
        await self.desk.work(1)
        [id] = set(await self.desk.conversations()) - before
        async with self.desk.units() as unit:
            card = Trace(account=DESK, room=ROOM, remote_id=f"$card-{name}", kind="card", conversation=id, part=1)
            await unit.messages.add_trace(card)
        number = (await self.desk.state_and_log(id))[0].number
        case = Case(target=Target(conversation=id, group=self._group), number=number, thread=f"$card-{name}")
        if owner:
            await self.give(in_thread(owner, "!claim", case), "claim")
        return case

    async def give(self, said: StaffSaid, command: str) -> Outcome:
        events, sent, seen = await self._ends()
        await self.desk.put(said)
        await self.desk.work(1)
        now = await self._ends()
        async with self.desk.engine.begin() as connection:
            effects = (await connection.scalars(sa.select(outbox.c.kind).where(outbox.c.id > sent))).all()
        found = await rows(self.desk.engine, after=seen, most=100) if now[2] > seen else []
        asked = [row for row in found if row.details.get("command") == command]
        return Outcome(events=now[0] - events, effects=effects, rows=asked)

    async def _ends(self) -> tuple[int, int, int]:
        keys = (event_log.c.pos, outbox.c.id, audit.c.seq)
        ends = [sa.select(sa.func.coalesce(sa.func.max(key), 0)).scalar_subquery() for key in keys]
        async with self.desk.engine.begin() as connection:
            events, effects, rows = (await connection.execute(sa.select(*ends))).one()
        return events, effects, rows


def _actor(one: Someone, id: AgentId | None, groups: dict[str, GroupId]) -> Actor:
    seats = {groups[one.group]: one.seat} if one.seat is not None else {}
    return Actor(agent=id, seats=seats, roles=frozenset({one.house} if one.house else ()))


def in_thread(sender: str, text: str, case: Case) -> StaffSaid:
    return replace(staff_says(sender, text), thread=case.thread)


def in_chat(sender: str, text: str, chat: str) -> StaffSaid:
    return replace(staff_says(sender, text), room=chat, thread=None)


def example(command: StaffCommand, case: Case) -> str:
    return command.example_en.replace(REFERENCE, case.number)


@pytest.fixture
async def world(database: AsyncEngine) -> AsyncIterator[World]:
    world = World(StaffDesk(database))
    await world.set_up()
    yield world
    assert (await verify(database, world.desk.keys, [])).is_whole


async def test_in_a_thread_happens_what_the_rule_says(world: World) -> None:
    """Only who may note in a conversation is heard there at all. Each one who may take it gives what changes it as its
    owner, in a conversation of their own, so that ownership stops nobody; all the others in that of an agent."""
    for command in COMMANDS:
        is_claim, changes = command.name == "claim", COMMAND_ACTIONS[command.name] in ABOUT_CONVERSATION - BEHIND_GLASS
        shared = await world.case(OWNER)
        for one in world.people:
            is_owner = changes and authorize(one.actor, Action.TAKE, shared.target).is_allowed
            case = await world.case("" if is_claim else one.address) if is_owner else shared
            outcome = await world.give(in_thread(one.address, example(command, case), case), command.name)
            is_heard = authorize(one.actor, Action.NOTE, case.target).is_allowed
            is_allowed = authorize(one.actor, COMMAND_ACTIONS[command.name], case.target).is_allowed
            _judge(one, command.name, COMMAND_ACTIONS[command.name], outcome, is_heard and is_allowed, is_heard)
            if not authorize(one.actor, Action.ANSWER, case.target).is_allowed:
                assert outcome.at_customer == [], f"{one.address}: !{command.name}"
                assert "SetTimer" not in outcome.effects, f"{one.address}: !{command.name} sends later"


async def test_in_ones_own_chat_with_the_desk_happens_what_the_rule_says(world: World) -> None:
    """What is about no conversation, or breaks the glass of one."""
    case = await world.case(OWNER)
    for one in world.people:
        await has_direct_chat(world.desk, one.address, one.chat)
    for command in COMMANDS:
        action = BESIDE_ACTIONS[command.name]
        for one in world.people if action not in ABOUT_CONVERSATION else ():
            said = in_chat(one.address, example(command, case), one.chat)
            is_allowed = authorize(one.actor, action).is_allowed
            _judge(one, command.name, action, await world.give(said, command.name), is_allowed, bool(one.actor.seats))


def _judge(one: Someone, name: str, action: Action, outcome: Outcome, is_allowed: bool, is_heard: bool) -> None:
    """Whoever is not heard is told nothing, not even that there is something; a refusal changes nothing."""
    what = f"{one.address}: !{name}: {outcome}"
    if not is_allowed:
        assert outcome.events == 0 and outcome.at_customer == [], what
    if not is_heard:
        assert (outcome.events, outcome.effects, outcome.rows) == (0, [], []), what
        return
    [row] = outcome.rows or pytest.fail(f"no row: {what}")
    assert (row.actor, row.action) == (f"agent:{one.actor.agent}", action.value), what
    assert (row.outcome == "refused" and row.reason in FORBIDDEN) == (not is_allowed), what


async def test_behind_a_gate_that_opens_for_nobody_no_command_is_carried_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command asks for what no seat may. One that is carried out past the gate would still be done."""
    lead = next(one for one in world.people if one.group == GROUP and one.seat is Role.LEAD)
    case = await world.case(lead.address)
    await has_direct_chat(world.desk, lead.address, lead.chat)
    for table in (COMMAND_ACTIONS, BESIDE_ACTIONS):
        for name in table:
            monkeypatch.setitem(table, name, Action.OPERATE)  # type: ignore[arg-type]
    for command in COMMANDS:
        text = example(command, case)
        outcomes = [await world.give(in_thread(lead.address, text, case), command.name)]
        if command.where == "anywhere" and command.name != "glass":  # `!glass REF` has an action of its own
            beside = text.replace("!remove", f"!remove {case.number}")
            outcomes.append(await world.give(in_chat(lead.address, beside, lead.chat), command.name))
        for outcome in outcomes:
            assert [(row.outcome, row.reason) for row in outcome.rows] in ([("refused", "role")], []), command.name
            assert (outcome.events, outcome.at_customer) == (0, []), command.name
        assert outcomes[0].rows, f"!{command.name} has not come to the gate"
