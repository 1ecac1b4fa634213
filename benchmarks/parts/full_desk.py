"""A database as a busy desk has it: open conversations in many groups, people who own them, and years of resolved ones.
Filled by SQL; nothing of it was ever said."""

from sqlalchemy.ext.asyncio import AsyncEngine

_FILL = """
INSERT INTO skill_group (id, name, room_id, settings, is_default)
SELECT md5('g' || n)::uuid, 'Group ' || n, '!room' || n, '{{}}', n = 0 FROM generate_series(0, {groups} - 1) AS n;
INSERT INTO staff (id, address, name, language)
SELECT md5('s' || n)::uuid, '@agent' || n || ':x', 'Agent ' || n, 'en' FROM generate_series(0, {agents} - 1) AS n;
INSERT INTO group_member (group_id, staff_id, role)
SELECT md5('g' || (n + k) % {groups})::uuid, md5('s' || n)::uuid, 'agent'
FROM generate_series(0, {agents} - 1) AS n, generate_series(0, 2) AS k;
INSERT INTO contact (id) SELECT md5('c' || n)::uuid FROM generate_series(0, 999) AS n;
INSERT INTO channel_identity (id, contact_id, kind, value)
SELECT md5('i' || n)::uuid, md5('c' || n)::uuid, 'mxid', '@customer' || n || ':x' FROM generate_series(0, 999) AS n;
INSERT INTO chat (id, account, remote, contact_id, identity_id)
SELECT md5('t' || n)::uuid, '@desk:x', '!chat' || n, md5('c' || n)::uuid, md5('i' || n)::uuid
FROM generate_series(0, 999) AS n;
INSERT INTO conversation (id, number, version, state, contact_id, chat_id, language, group_id, owner_id, opened_at,
  queued_at, claimed_at, waiting_since, paused_by, paused_at, wake_on, resolved_at, resolution, card_room, card_event)
SELECT md5('v' || n)::uuid, 'V-' || n, 3, kind, md5('c' || n % 1000)::uuid, md5('t' || n % 1000)::uuid, 'de',
  md5('g' || n % {groups})::uuid, CASE WHEN kind <> 'queued' THEN owner END, at, at,
  CASE WHEN kind <> 'queued' THEN at END, CASE WHEN kind <> 'resolved' AND n % 3 > 0 THEN at END,
  CASE WHEN kind = 'paused' THEN owner END, CASE WHEN kind = 'paused' THEN at END,
  CASE WHEN kind = 'paused' THEN ARRAY['customer'] END, CASE WHEN kind = 'resolved' THEN at END,
  CASE WHEN kind = 'resolved' THEN 'solved' END, '!room' || n % {groups}, '$card' || n
FROM (
  SELECT n, md5('s' || n % {agents})::uuid AS owner, now() - n * interval '7 s' AS at,
    CASE WHEN n >= {open} THEN 'resolved'
      ELSE (ARRAY['queued', 'open', 'open', 'paused', 'queued'])[n / {agents} % 5 + 1] END AS kind
  FROM generate_series(0, {open} + {resolved} - 1) AS n
) AS made;
ANALYZE"""


async def fill(engine: AsyncEngine, *, groups: int, agents: int, open: int, resolved: int) -> None:
    statements = _FILL.format(groups=groups, agents=agents, open=open, resolved=resolved)
    async with engine.connect() as connection:
        at_once = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements.split(";"):
            await at_once.exec_driver_sql(statement)
