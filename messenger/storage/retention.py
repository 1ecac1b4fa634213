"""What has lived long enough: found in batches, and ordered as erasures that the desk carries out. A batch is one
transaction with one row of the audit log; a process that dies between two goes on with the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.audit import AuditEntry
from messenger.domain.people import SkillGroup
from messenger.domain.retention import BATCH, KEEP_DECISIONS, Limit, limits_of
from messenger.observability.failpoints import fp
from messenger.storage.audit import append
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import transaction
from messenger.storage.models.people import skill_group
from messenger.storage.people import as_group

# A conversation that was reopened and resolved again is due again.
_OLD = """
FROM conversation JOIN contact ON contact.id = conversation.contact_id
WHERE conversation.state = 'resolved' AND conversation.group_id = CAST(:group AS uuid)
  AND conversation.resolved_at < :before AND contact.erased_at IS NULL
  AND EXISTS (SELECT FROM message WHERE message.conversation_id = conversation.id)
  AND NOT EXISTS (
    SELECT FROM erasure WHERE erasure.conversation_id = conversation.id AND erasure.scope = :purpose
      AND erasure.begun_at > conversation.resolved_at
  )"""
_MAY_GO = "contact.held_at IS NULL AND contact.restricted_at IS NULL"
_REPORT = sa.text(f"""
SELECT count(*) FILTER (WHERE {_MAY_GO}) AS due, count(*) FILTER (WHERE NOT ({_MAY_GO})) AS kept,
  min(conversation.resolved_at) AS oldest {_OLD}""")
_ORDER = sa.text(f"""
INSERT INTO erasure (id, scope, conversation_id, ordered_by, step, begun_at)
SELECT gen_random_uuid(), :purpose, conversation.id, 'retention', 'plan', :now {_OLD} AND {_MAY_GO}
ORDER BY conversation.resolved_at LIMIT :most
ON CONFLICT (conversation_id, scope) WHERE conversation_id IS NOT NULL
DO UPDATE SET step = 'plan', begun_at = excluded.begun_at, next_at = now(), done_at = NULL, certificate = NULL
RETURNING conversation_id""")
_DECISIONS = "decisions"
_OLD_DECISIONS = sa.text("SELECT count(*) FROM routing_decision WHERE at < :before")
_FORGET_DECISIONS = sa.text("""
DELETE FROM routing_decision WHERE id IN (
  SELECT id FROM routing_decision WHERE at < :before ORDER BY id LIMIT :most
)""")
_OUT_OF_REACH = sa.text("""
SELECT place ->> 'place' AS place, place ->> 'outcome' AS outcome, sum((place ->> 'count')::bigint) AS count
FROM erasure CROSS JOIN LATERAL jsonb_array_elements(erasure.certificate -> 'places') AS place
WHERE erasure.conversation_id IS NOT NULL AND place ->> 'outcome' <> 'done' AND place ? 'count'
GROUP BY 1, 2 ORDER BY 1, 2""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """`kept`: old enough, but under a legal hold or a restriction."""

    purpose: str
    group: str
    days: int
    due: int
    kept: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfReach:
    """What earlier runs could not remove, and where."""

    place: str
    outcome: str
    count: int


class Retention:
    def __init__(self, engine: AsyncEngine, keys: DataKeys) -> None:
        self._engine, self._keys = engine, keys

    async def report(self, now: datetime) -> Sequence[Due]:
        async with transaction(self._engine) as connection:
            limits = await _limits(connection, now)
            return [*[await _due(connection, limit) for limit in limits], await _old_decisions(connection, now)]

    async def out_of_reach(self) -> Sequence[OutOfReach]:
        async with transaction(self._engine) as connection:
            rows = await connection.execute(_OUT_OF_REACH)
            return [OutOfReach(place=r.place, outcome=r.outcome, count=int(r._mapping["count"])) for r in rows]

    async def run(self, now: datetime) -> int:
        """Orders what is due and deletes what serves nobody any more. Returns how many conversations."""
        async with transaction(self._engine) as connection:
            limits = await _limits(connection, now)
        ordered = 0
        for limit in limits:
            while batch := await self._order(limit, now):
                ordered += batch
        while await self._forget_decisions(now) == BATCH:
            pass
        return ordered

    async def _order(self, limit: Limit, now: datetime) -> int:
        values = {"group": limit.group.id, "purpose": limit.purpose, "before": limit.before, "now": now, "most": BATCH}
        async with transaction(self._engine) as connection:
            ids = (await connection.scalars(_ORDER, values)).all()
            if ids:
                await append(connection, self._keys, [_batch(limit.purpose, str(limit.group.id), len(ids))], at=now)
        fp("retention_batch")
        return len(ids)

    async def _forget_decisions(self, now: datetime) -> int:
        async with transaction(self._engine) as connection:
            values = {"before": now - KEEP_DECISIONS, "most": BATCH}
            count = (await connection.execute(_FORGET_DECISIONS, values)).rowcount
            if count:
                await append(connection, self._keys, [_batch(_DECISIONS, "all", count)], at=now)
        return count


def _batch(purpose: str, group: str, count: int) -> AuditEntry:
    return AuditEntry(
        actor="system",
        action="retention.batch",
        object=f"group:{group}",
        purpose="retention",
        reason=purpose,
        details={"count": str(count)},
    )


async def _limits(connection: AsyncConnection, now: datetime) -> list[Limit]:
    groups: list[SkillGroup] = [as_group(row) for row in await connection.execute(sa.select(skill_group))]
    return [limit for group in groups for limit in limits_of(group, now)]


async def _due(connection: AsyncConnection, limit: Limit) -> Due:
    values = {"group": limit.group.id, "purpose": limit.purpose, "before": limit.before}
    row = (await connection.execute(_REPORT, values)).one()
    return Due(
        purpose=limit.purpose,
        group=limit.group.name,
        days=limit.days,
        due=row.due,
        kept=row.kept,
        oldest=row.oldest,
    )


async def _old_decisions(connection: AsyncConnection, now: datetime) -> Due:
    count = await connection.scalar(_OLD_DECISIONS, {"before": now - KEEP_DECISIONS})
    return Due(purpose=_DECISIONS, group="", days=KEEP_DECISIONS.days, due=count or 0, kept=0, oldest=None)
