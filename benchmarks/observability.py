"""What it costs to be watched: counting, for each message; the page for Prometheus; the look into a large database.
`python -m benchmarks.observability [CONVERSATIONS]` makes a database of its own; no homeserver takes part."""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.counting import CHANNEL, count
from messenger.domain import events as e
from messenger.domain.conversation import Conversation, evolve
from messenger.domain.ids import AgentId, ChatId, ContactId, ConversationId, GroupId, MessageId
from messenger.observability import metrics
from messenger.observability.endpoints import endpoint_of
from messenger.queries.operations import sample
from messenger.storage import migration
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres

MESSAGES, LOOKS = 20_000, 20
NOW = datetime.now(UTC)
GROUP = GroupId(UUID(int=1))
SEND = "/_matrix/client/v3/rooms/%21abcdefgh%3Aexample.org/send/m.room.encrypted/0123456789abcdef"
# Groups, contacts, chats, then conversations at work, what is to leave and a past that is ten times as long.
FILL = """
INSERT INTO skill_group (id, name) SELECT gen_random_uuid(), 'Group ' || n FROM generate_series(1, 20) AS n;
INSERT INTO contact (id) SELECT gen_random_uuid() FROM generate_series(1, {n} / 10);
INSERT INTO channel_identity (id, contact_id, kind, value) SELECT gen_random_uuid(), id, 'mxid', id::text FROM contact;
INSERT INTO chat (id, account, remote, contact_id, identity_id)
  SELECT gen_random_uuid(), '@desk:x', contact_id::text, contact_id, id FROM channel_identity;
INSERT INTO conversation (id, number, version, state, contact_id, chat_id, language, group_id, opened_at, queued_at)
  SELECT gen_random_uuid(), 'K-' || c.n, 3, (ARRAY['queued', 'open', 'paused', 'resolved'])[c.n % 4 + 1],
    chat.contact_id, chat.id, 'en', g.id, now(), now() - c.n * interval '1 s'
  FROM generate_series(1, {n}) AS c(n)
  JOIN (SELECT *, row_number() OVER () AS k FROM chat) AS chat ON chat.k = c.n % ({n} / 10) + 1
  JOIN (SELECT *, row_number() OVER () AS k FROM skill_group) AS g ON g.k = c.n % 20 + 1;
INSERT INTO outbox (lane, desk, txn, kind, enc_body, state)
  SELECT 'lane' || n, '@desk:x', 't' || n, 'RelayToThread', '\\x00',
    CASE WHEN n <= {n} / 20 THEN 'new' ELSE 'sent' END FROM generate_series(1, {n}) AS n;
INSERT INTO inbox (source, source_id, lane, kind, enc_body, state)
  SELECT 'test', n::text, 'lane' || n, 'InboundMessage', '\\x00',
    CASE WHEN n <= {n} / 20 THEN 'new' ELSE 'done' END FROM generate_series(1, {n}) AS n;
"""


def a_conversation() -> Conversation:
    opened = e.ConversationOpened(number="K-4F7Q", contact=ContactId(uuid4()), chat=ChatId(uuid4()), language="en")
    queued = e.ConversationQueued(group=GROUP, reason="default")
    now: Conversation | None = None
    for version, event in enumerate((opened, queued, e.ConversationClaimed(agent=AgentId(uuid4()))), start=1):
        entry = e.Recorded(conversation=ConversationId(uuid4()), version=version, event=event, at=NOW, actor="x")
        now = evolve(now, entry)
    assert now is not None
    return now


def counted_per_message() -> float:
    """CPU, in seconds, of everything that is counted for a customer's message and the answer to it, by the message: a
    turn and its send for each, four requests (two sends, a key, the share of a sync)."""
    metrics.GROUPS.learn({str(GROUP): "Claims"})
    metrics.DESKS.learn({"@desk:x": "1"})
    now, id = a_conversation(), MessageId(uuid4())
    received, accepted = e.MessageReceived(message=id), e.ReplyAccepted(message=id, author=AgentId(uuid4()))
    steps = [(received, now, now), (accepted, now, now), (e.MessageDelivered(message=id), now, now)]
    began = time.process_time()
    for _ in range(MESSAGES // 2):
        count(steps, NOW + timedelta(seconds=1))
        for _ in range(4):
            metrics.REQUESTS.of(endpoint=endpoint_of(SEND), code="200").inc()
        for _ in range(2):
            metrics.DELIVERY.of(channel=CHANNEL).observe(0.1)
        metrics.MARKERS.of().observe(0.1)
        metrics.SYNC_DURATION.of(desk="@desk:x").observe(0.1)
        metrics.ONE_TIME_KEYS.of(desk="@desk:x").set(50)
    return (time.process_time() - began) / MESSAGES


async def looked_up(engine: AsyncEngine) -> tuple[float, float]:
    """Median and worst, in seconds, by the clock."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        await sample(engine)
        took.append(time.perf_counter() - began)
    return sorted(took)[LOOKS // 2], max(took)


async def main(conversations: int) -> None:
    print(f"counting: {counted_per_message() * 1e6:.0f} us of CPU for a message")
    began = time.process_time()
    for _ in range(LOOKS):
        page = metrics.page()
    print(f"the page: {(time.process_time() - began) / LOOKS * 1e3:.1f} ms of CPU, {len(page) / 1e3:.0f} kB")
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        await server.start()
        try:
            engine = connect(await server.create_database("bench"))
            await migration.upgrade(engine)
            async with engine.begin() as connection:
                for statement in filter(str.strip, FILL.format(n=conversations).split(";")):
                    await connection.exec_driver_sql(statement)
            async with engine.connect() as connection:
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await alone.exec_driver_sql("VACUUM ANALYZE")
            middle, worst = await looked_up(engine)
            print(
                f"a look over {conversations} conversations: median {middle * 1e3:.0f} ms, worst {worst * 1e3:.0f} ms"
            )
            await engine.dispose()
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
