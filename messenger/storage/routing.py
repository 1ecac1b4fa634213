"""The router's view of the tables: who waits, who serves, what everybody has in work. A load is counted, never stored;
the row of the person is its lock."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import RoutingDecision, Serving
from messenger.domain import group_settings
from messenger.domain.ids import AgentId, ConversationId, GroupId
from messenger.domain.people import Assignment, Role, SkillGroup
from messenger.domain.routing.availability import Availability
from messenger.domain.routing.capacity import Weighing
from messenger.domain.routing.matcher import Person, Waiting
from messenger.storage.models.people import skill_group
from messenger.storage.people import as_group

WEIGHT = 1.0  # of one conversation on a chat channel

# Whoever gave it back since it came into this group is not asked again.
_WAITING = sa.text("""
SELECT waiting.id, waiting.queued_at, (
  SELECT array_agg(DISTINCT back.ids ->> 'agent') FROM event_log AS back
  WHERE waiting.claimed_at IS NOT NULL AND back.conversation_id = waiting.id AND back.type = 'ConversationReleased'
    AND back.version > (
      SELECT coalesce(max(came.version), 0) FROM event_log AS came
      WHERE came.conversation_id = waiting.id
        AND came.type IN ('ConversationQueued', 'ConversationTransferred', 'ConversationReopened'))
) AS not_to
FROM conversation AS waiting
WHERE waiting.group_id = CAST(:group AS uuid) AND waiting.state = 'queued' AND waiting.blocked IS NULL
ORDER BY waiting.queued_at, waiting.id LIMIT :most""")

_SEATS = """
SELECT staff.id, seat.role, staff.availability, staff.capacity_units,
  greatest(staff.idle_since, staff.availability_since) AS idle_since, (
    SELECT jsonb_object_agg(has.skill, has.level) FROM staff_skill AS has
    WHERE has.staff_id = staff.id AND (has.valid_to IS NULL OR has.valid_to > CAST(:now AS timestamptz))
  ) AS skills
FROM group_member AS seat JOIN staff ON staff.id = seat.staff_id
WHERE seat.group_id = CAST(:group AS uuid)"""
_ALL_SEATS = sa.text(_SEATS)
_LOCKED_SEAT = sa.text(f"{_SEATS} AND staff.id = CAST(:agent AS uuid) FOR NO KEY UPDATE OF staff")

# An open conversation is the customer's turn since our last answer, or since its owner got it. `rules` are the groups'
# minutes by their ids: a value to look into, and no rows to join, for a plan that is kept does not know how many groups
# and people it will be asked for, and has begun with the groups.
_IN_WORK = """
SELECT mine.owner_id, mine.group_id,
  count(*) FILTER (WHERE mine.waiting_since IS NOT NULL) AS ours,
  count(*) FILTER (WHERE mine.waiting_since IS NULL AND falls.at > :now) AS customers,
  min(falls.at) FILTER (WHERE mine.waiting_since IS NULL AND falls.at > :now) AS falls_at
FROM conversation AS mine
CROSS JOIN LATERAL (
  SELECT greatest(mine.answered_at, mine.claimed_at)
    + make_interval(mins => CAST(CAST(:rules AS jsonb) ->> CAST(mine.group_id AS text) AS int)) AS at
) AS falls
WHERE mine.state = 'open' AND jsonb_exists(CAST(:rules AS jsonb), CAST(mine.group_id AS text)) {whose}
GROUP BY mine.owner_id, mine.group_id"""
_IN_WORK_OF = sa.text(_IN_WORK.format(whose="AND mine.owner_id = ANY(CAST(:staff AS uuid[]))"))
_IN_WORK_OF_ALL = sa.text(_IN_WORK.format(whose=""))

_NOTE_HANDS = sa.text("""
UPDATE staff SET idle_since = :at WHERE id IN (
  SELECT id FROM staff WHERE id = ANY(CAST(:staff AS uuid[])) ORDER BY id FOR NO KEY UPDATE
)""")
_SERVED_BY = sa.text("""
SELECT DISTINCT seat.group_id FROM group_member AS seat JOIN skill_group ON skill_group.id = seat.group_id
WHERE seat.staff_id = ANY(CAST(:staff AS uuid[])) AND skill_group.settings ->> 'assignment' = :automatic
ORDER BY seat.group_id""")
_KEEP = sa.text("""
INSERT INTO routing_decision (conversation_id, at, explanation)
SELECT decided.id, CAST(:at AS timestamptz), CAST(:explanation AS jsonb)
FROM unnest(CAST(:conversations AS uuid[])) WITH ORDINALITY AS decided(id, place) ORDER BY decided.place""")
_REASONS = sa.text("""
SELECT asked.id, newest.reason FROM unnest(CAST(:conversations AS uuid[])) AS asked(id)
JOIN conversation ON conversation.id = asked.id
CROSS JOIN LATERAL (
  SELECT at, explanation ->> 'reason' AS reason FROM routing_decision
  WHERE conversation_id = asked.id ORDER BY routing_decision.id DESC LIMIT 1
) AS newest
WHERE newest.at >= conversation.queued_at""")
_LATEST = sa.text("""
SELECT at, explanation FROM routing_decision WHERE conversation_id = CAST(:which AS uuid) ORDER BY id DESC LIMIT 1""")


# `jsonb_strip_nulls` leaves out what a group has not set.
_RULES = sa.text("""
SELECT id, jsonb_strip_nulls(jsonb_build_object(
  'load_inactive_minutes', settings -> 'load_inactive_minutes',
  'load_waiting_percent', settings -> 'load_waiting_percent')) AS settings
FROM skill_group""")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a group's settings make of a load."""

    inactive_minutes: int
    waiting_percent: int


class SqlRouting:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._rules: Mapping[UUID, _Rule] = {}

    async def lock_group(self, id: GroupId) -> SkillGroup:
        query = sa.select(skill_group).where(skill_group.c.id == id).with_for_update(key_share=True)
        return as_group((await self._connection.execute(query)).one())

    async def waiting(self, group: SkillGroup, *, most: int) -> Sequence[Waiting]:
        rows = await self._connection.execute(_WAITING, {"group": group.id, "most": most})
        return [
            Waiting(
                conversation=ConversationId(row.id),
                weight=WEIGHT,
                queued_at=row.queued_at,
                required=group.required_skills,
                not_to=frozenset(AgentId(UUID(agent)) for agent in row.not_to or ()),
            )
            for row in rows
        ]

    async def serving(self, group: GroupId, *, now: datetime) -> Sequence[Serving]:
        seats = (await self._connection.execute(_ALL_SEATS, {"group": group, "now": now})).all()
        return await self._with_loads(seats, now)

    async def lock_person(self, group: GroupId, agent: AgentId, *, now: datetime) -> Serving | None:
        seats = (await self._connection.execute(_LOCKED_SEAT, {"group": group, "agent": agent, "now": now})).all()
        return next(iter(await self._with_loads(seats, now)), None)

    async def note_hands(self, agents: Collection[AgentId], *, at: datetime) -> None:
        await self._connection.execute(_NOTE_HANDS, {"staff": list(agents), "at": at})

    async def groups_served_by(self, agents: Collection[AgentId]) -> Sequence[GroupId]:
        parameters = {"staff": list(agents), "automatic": Assignment.AUTOMATIC.value}
        return [GroupId(id) for id in await self._connection.scalars(_SERVED_BY, parameters)]

    async def keep(
        self, conversations: Collection[ConversationId], explanation: Mapping[str, Any], *, at: datetime
    ) -> None:
        kept = {"conversations": list(conversations), "at": at, "explanation": json.dumps(explanation)}
        await self._connection.execute(_KEEP, kept)

    async def reasons(self, conversations: Collection[ConversationId]) -> Mapping[ConversationId, str]:
        rows = await self._connection.execute(_REASONS, {"conversations": list(conversations)})
        return {ConversationId(row.id): row.reason for row in rows}

    async def latest(self, conversation: ConversationId) -> RoutingDecision | None:
        row = (await self._connection.execute(_LATEST, {"which": conversation})).first()
        if row is None:
            return None
        explanation = json.loads(row.explanation) if isinstance(row.explanation, str) else row.explanation
        return RoutingDecision(at=row.at, explanation=explanation)

    async def loads(self, *, now: datetime) -> Mapping[UUID, float]:
        """What everybody has in work, by who has anything."""
        rules, rows = await self._in_work(None, now)
        loads: dict[UUID, float] = {}
        for row in rows:
            loads[row.owner_id] = loads.get(row.owner_id, 0.0) + _load(rules, row)
        return loads

    async def _with_loads(self, seats: Sequence[Any], now: datetime) -> Sequence[Serving]:
        rules, rows = await self._in_work([seat.id for seat in seats], now)
        by_owner: dict[UUID, list[Any]] = {}
        for row in rows:
            by_owner.setdefault(row.owner_id, []).append(row)
        return [_serving(seat, by_owner.get(seat.id, []), rules) for seat in seats]

    async def _in_work(self, staff: Sequence[UUID] | None, now: datetime) -> tuple[Mapping[UUID, _Rule], Any]:
        """What these people have in work (None: everybody), counted for each group, with the groups' rules."""
        rules = await self._all_rules()
        minutes = {str(group): rule.inactive_minutes for group, rule in rules.items()}
        parameters = {"rules": json.dumps(minutes), "now": now}
        if staff is None:
            return rules, (await self._connection.execute(_IN_WORK_OF_ALL, parameters)).all()
        return rules, (await self._connection.execute(_IN_WORK_OF, {**parameters, "staff": list(staff)})).all()

    async def _all_rules(self) -> Mapping[UUID, _Rule]:
        """Of all groups, read once in a unit; there may be hundreds of them, so nothing else of them is read."""
        if not self._rules:
            self._rules = {row.id: _rule(row.settings) for row in await self._connection.execute(_RULES)}
        return self._rules


def _serving(seat: Any, in_work: Sequence[Any], rules: Mapping[UUID, _Rule]) -> Serving:
    role = Role(seat.role)
    skills = json.loads(seat.skills) if isinstance(seat.skills, str) else seat.skills
    person = Person(
        agent=AgentId(seat.id),
        availability=Availability(seat.availability),
        load=sum(_load(rules, row) for row in in_work),
        units=float(seat.capacity_units),
        skills=skills or {},
        idle_since=seat.idle_since,
        is_answering_role=role.can_answer,
    )
    return Serving(person=person, role=role, falls_at=min((r.falls_at for r in in_work if r.falls_at), default=None))


def _load(rules: Mapping[UUID, _Rule], row: Any) -> float:
    return Weighing(phi=rules[row.group_id].waiting_percent / 100).of(row.ours, row.customers)


def _rule(stored: Any) -> _Rule:
    settings = json.loads(stored) if isinstance(stored, str) else stored
    return _Rule(
        inactive_minutes=group_settings.load_one("load_inactive_minutes", settings),
        waiting_percent=group_settings.load_one("load_waiting_percent", settings),
    )
