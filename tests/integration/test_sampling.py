"""What is sampled from the database, in one statement over indexes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.thread import RelayFile, ShowFilesLater
from messenger.bootstrap.sampling import Sampler, name_what_may_be_seen
from messenger.config import Settings
from messenger.observability import metrics
from messenger.queries import operations
from messenger.queries.operations import sample
from messenger.storage import leases
from messenger.storage.continuous import SLOT
from messenger.storage.models.conversations import conversation
from messenger.storage.models.disaster import backup_set
from messenger.storage.models.floods import flood
from messenger.storage.models.people import skill_group
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.models.trust import trust_alert
from tests.integration.staff_desk import DESK, GROUP, StaffDesk, staff_reacts

SETTINGS = Settings.model_validate(
    {"matrix": {"homeserver": "http://x", "desks": [{"user_id": DESK, "password": "x"}]}}
)


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


async def test_an_empty_database_has_a_sample_too(database: AsyncEngine) -> None:
    found = await sample(database)
    assert (found.dead_letters, found.outbox, found.key_wait, found.backups) == (0, {}, None, {})
    await Sampler(database).look()
    assert value("stellwerk_outbox_age_seconds") == 0


async def test_what_is_at_work_is_seen_by_group_state_and_kind(database: AsyncEngine) -> None:
    name_what_may_be_seen(SETTINGS)
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    await leases.acquire(database, f"desk:{DESK}", "me", timedelta(seconds=30))
    await Sampler(database).look()
    assert value("stellwerk_conversations", group=GROUP, state="queued") == 1
    assert value("stellwerk_conversations", group=GROUP, state="open") == 0
    assert value("stellwerk_agents", group=GROUP, state="available") == 1
    assert value("stellwerk_outbox_depth", kind="PostCard") == 1
    assert value("stellwerk_lease_epoch", desk="1") == 1
    assert value("stellwerk_lease_free_seconds", desk="1") == 0
    await desk.put(staff_reacts("@ben:x", "👀"))
    await desk.work(1)
    await Sampler(database).look()
    assert value("stellwerk_conversations", group=GROUP, state="queued") == 0
    assert value("stellwerk_conversations", group=GROUP, state="open") == 1


async def test_late_is_the_head_of_a_lane_since_its_first_try(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    await desk.set_up(["@ben:x"])
    ago, soon = sa.func.now() - timedelta(minutes=10), sa.func.now() + timedelta(minutes=5)
    async with database.begin() as connection:
        heads = sa.select(sa.func.min(outbox.c.id)).group_by(outbox.c.lane)
        await connection.execute(outbox.update().values(next_at=sa.func.now() + timedelta(hours=1)))
        await connection.execute(outbox.update().where(outbox.c.id.not_in(heads)).values(next_at=ago))
    found = await sample(database)
    assert (found.outbox_age or 0) < 1, "who stands behind another is not late"
    async with database.begin() as connection:
        await connection.execute(outbox.update().values(next_at=soon, first_try_at=ago, code="unreachable"))
    assert (await sample(database)).outbox_age == pytest.approx(600, abs=60), (
        "nor is a pause between two tries an excuse"
    )
    async with database.begin() as connection:
        await connection.execute(outbox.update().values(code="paused"))
    assert (await sample(database)).outbox_age is None, "a person is to decide first; that has its own alert"


async def test_what_waits_for_people_is_counted(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(dead_letter.insert().values(queue="inbox", row_id=1, reason="x"))
        await connection.execute(dead_letter.insert().values(queue="inbox", row_id=2, reason="x", verdict="drop"))
        await connection.execute(
            trust_alert.insert().values(account=DESK, room_id="!r", user_id="@u", cause="identity_changed")
        )
        row = {"source": "s", "lane": "l", "kind": "k", "enc_body": b"", "state": "waiting_key"}
        ago = sa.func.now() - timedelta(minutes=2)
        await connection.execute(inbox.insert().values(source_id="1", received_at=ago, **row))
        group = await connection.scalar(skill_group.insert().values(id=uuid4(), name="G").returning(skill_group.c.id))
        held = {"source": "s", "lane": "m", "kind": "k", "enc_body": b"", "state": "held"}
        for scope, verdict in (("server", None), ("contact", "dropped")):
            new = flood.insert().values(scope=scope, key=uuid4(), group_id=group, verdict=verdict)
            id = await connection.scalar(new.returning(flood.c.id))
        await connection.execute(inbox.insert().values(source_id="2", flood_id=id, **held))
    await Sampler(database).look()
    assert value("stellwerk_dead_letters") == 1
    assert [value("stellwerk_floods", scope=scope) for scope in ("server", "contact", "group")] == [1, 0, 0]
    assert value("stellwerk_held_messages") == 1
    assert value("stellwerk_trust_alerts", cause="identity_changed") == 1
    assert value("stellwerk_key_wait_seconds") == pytest.approx(120, abs=60)


async def test_the_last_backup_of_each_kind_has_its_age_and_a_stream_only_while_the_server_keeps_its_log_for_it(
    database: AsyncEngine,
) -> None:
    ages = {"main": (90, 30), "keys": (40,), "continuous": (1,)}
    async with database.begin() as connection:
        for kind, minutes in ages.items():
            for each in minutes:
                made_at = sa.func.now() - timedelta(minutes=each)
                await connection.execute(backup_set.insert().values(id=uuid4(), kind=kind, made_at=made_at, bytes=1))
    async with _keeping_the_log(database):
        await Sampler(database).look()
        assert value("stellwerk_backup_age_seconds", kind="main") == pytest.approx(30 * 60, abs=50)
        assert value("stellwerk_backup_age_seconds", kind="keys") == pytest.approx(40 * 60, abs=50)
        assert value("stellwerk_backup_age_seconds", kind="continuous") == pytest.approx(60, abs=50)
    await Sampler(database).look()
    assert value("stellwerk_backup_age_seconds", kind="continuous") is None, "this server has none"
    assert value("stellwerk_backup_age_seconds", kind="main") == pytest.approx(30 * 60, abs=50)


@asynccontextmanager
async def _keeping_the_log(database: AsyncEngine) -> AsyncIterator[None]:
    async with database.connect() as connection:
        await connection.execute(sa.text(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)"))
        try:
            yield
        finally:
            await connection.execute(sa.text(f"SELECT pg_drop_replication_slot('{SLOT}')"))


async def test_the_statement_reads_no_table_of_what_is_done(database: AsyncEngine) -> None:
    """Queues and conversations are read by the indexes of what is at work: their past costs nothing."""
    async with database.begin() as connection:
        await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        plan = (await connection.execute(sa.text(f"EXPLAIN {operations._SAMPLE.element}"))).scalars().all()
    scanned = {line.split(" on ")[1].split()[0] for line in plan if "Seq Scan on" in line}
    assert scanned.isdisjoint({table.name for table in (conversation, inbox, outbox, dead_letter, trust_alert)})


async def test_every_cause_of_a_doubt_is_counted_and_gone_when_it_is_decided(database: AsyncEngine) -> None:
    alerts = [{"account": DESK, "room_id": "!r", "user_id": "@u", "cause": cause} for cause in metrics.DOUBTS]
    async with database.begin() as connection:
        await connection.execute(trust_alert.insert(), alerts)
    await Sampler(database).look()
    assert {cause: value("stellwerk_trust_alerts", cause=cause) for cause in metrics.DOUBTS} == dict.fromkeys(
        metrics.DOUBTS, 1
    )
    async with database.begin() as connection:
        await connection.execute(trust_alert.update().values(state="trusted"))
    await Sampler(database).look()
    assert sum(value("stellwerk_trust_alerts", cause=cause) or 0 for cause in metrics.DOUBTS) == 0


async def test_files_that_wait_for_the_scanner_are_counted(database: AsyncEngine) -> None:
    desk = StaffDesk(database)
    id = await desk.set_up(["@ben:x"])
    async with desk.units() as unit:
        await unit.outbox.put("t", [RelayFile(conversation=id, message=uuid4(), sent_as="t")])
        await unit.outbox.put("u", [ShowFilesLater(conversation=id, sent_as="u")])
    await Sampler(database).look()
    assert value("stellwerk_scanner_queue") == 2
