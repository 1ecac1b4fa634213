"""How the installation is doing, in numbers: one statement, cheap enough to be asked every few seconds. It goes over
indexes of what is at work; what is done is not counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage.database import at_once

# A continuous backup is one of this server as long as the server keeps its log for it. One that was restored, or
# loaded from a set, says of no stream any more that it were its own.
_LAST_BACKUPS = """
  SELECT kind, max(made_at) AS made_at FROM backup_set
  WHERE kind <> 'continuous' OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'stellwerk_backup')
  GROUP BY kind"""

# Heads of lanes: what waits behind another row is not late. A row that was tried is as old as its first try, however
# long it pauses between tries; one that waits for a person's decision about keys has an alert of its own.
_SAMPLE = sa.text(f"""
SELECT json_build_object(
  'groups', (SELECT json_object_agg(id, name) FROM skill_group),
  'conversations', (SELECT json_agg(live) FROM (
    SELECT group_id AS "group", state, count(*) AS count FROM conversation
    WHERE state IN ('queued', 'open', 'paused') GROUP BY group_id, state) AS live),
  'oldest', (SELECT json_object_agg(id, age) FROM (
    SELECT g.id, extract(epoch FROM now() - (SELECT min(queued_at) FROM conversation AS c
      WHERE c.state = 'queued' AND c.group_id = g.id)) AS age FROM skill_group AS g) AS waiting),
  'agents', (SELECT json_agg(there) FROM (
    SELECT group_id AS "group", availability AS state, count(*) AS count
    FROM group_member JOIN staff ON staff.id = staff_id GROUP BY group_id, availability) AS there),
  'inbox_lag', (SELECT max(extract(epoch FROM now() - next_at)) FROM (
    SELECT DISTINCT ON (lane) state, next_at FROM inbox WHERE state IN ('new', 'waiting_key') ORDER BY lane, id) AS head
    WHERE state = 'new'),
  'key_wait', (SELECT extract(epoch FROM now() - min(received_at)) FROM inbox WHERE state = 'waiting_key'),
  'outbox', (SELECT json_object_agg(kind, count) FROM (
    SELECT kind, count(*) AS count FROM outbox WHERE state IN ('new', 'claimed', 'unknown') GROUP BY kind) AS held),
  'outbox_age', (SELECT max(extract(epoch FROM now() - coalesce(first_try_at, next_at))) FROM (
    SELECT DISTINCT ON (lane) state, code, first_try_at, next_at FROM outbox
    WHERE state IN ('new', 'claimed', 'unknown') ORDER BY lane, id) AS head
    WHERE state <> 'unknown' AND code IS DISTINCT FROM 'paused'),
  'dead_letters', (SELECT count(*) FROM dead_letter WHERE verdict IS NULL),
  'floods', (SELECT json_object_agg(scope, count) FROM (
    SELECT scope, count(*) AS count FROM flood WHERE verdict IS NULL GROUP BY scope) AS open),
  'held', (SELECT count(*) FROM inbox WHERE state = 'held'),
  'doubts', (SELECT json_object_agg(cause, count) FROM (
    SELECT cause, count(*) AS count FROM trust_alert WHERE state = 'open' GROUP BY cause) AS open),
  'erasures', (SELECT count(*) FROM erasure WHERE done_at IS NULL),
  'backups', (SELECT json_object_agg(kind, extract(epoch FROM now() - made_at)) FROM ({_LAST_BACKUPS}) AS made),
  'leases', (SELECT json_object_agg(resource, json_build_array(epoch, extract(epoch FROM now() - until))) FROM lease),
  'transaction', (SELECT max(extract(epoch FROM now() - xact_start)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()),
  'dead_tuples', (SELECT json_object_agg(relname, n_dead_tup) FROM pg_stat_user_tables),
  'wal_lag', (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)
    FROM pg_replication_slots WHERE slot_name = 'stellwerk_backup')
) AS sample""").columns(  # noqa: S608
    sa.column("sample", sa.JSON)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Ages in seconds, None where nothing waits. Groups and leases bear ids here."""

    groups: Mapping[str, str]
    conversations: list[Mapping[str, Any]]
    agents: list[Mapping[str, Any]]
    oldest: Mapping[str, float | None]
    inbox_lag: float | None
    key_wait: float | None
    outbox: Mapping[str, int]
    outbox_age: float | None
    dead_letters: int
    floods: Mapping[str, int]
    held: int
    doubts: Mapping[str, int]
    erasures: int
    backups: Mapping[str, float]
    leases: Mapping[str, tuple[int, float]]
    transaction: float | None
    dead_tuples: Mapping[str, int]
    wal_lag: float | None  # bytes


async def last_backups(engine: AsyncEngine) -> Mapping[str, datetime]:
    """When the newest was made that the database knows of, by kind. Nothing for a schema that is older than backups."""
    async with engine.connect() as connection:
        if not await connection.scalar(sa.text("SELECT to_regclass('backup_set') IS NOT NULL")):
            return {}
        rows = await connection.execute(sa.text(_LAST_BACKUPS))
        return {row.kind: row.made_at for row in rows}


_LISTS = ("conversations", "agents")
_TABLES = ("groups", "oldest", "outbox", "floods", "doubts", "backups", "leases", "dead_tuples")


async def sample(engine: AsyncEngine) -> Sample:
    """Raises StorageAway."""
    async with at_once(engine) as connection:
        found: dict[str, Any] = (await connection.execute(_SAMPLE)).scalar_one()
    empty: dict[str, Any] = {**{name: [] for name in _LISTS}, **{name: {} for name in _TABLES}}
    values: dict[str, Any] = {name: empty.get(name) if value is None else value for name, value in found.items()}
    return Sample(**values)
