"""Looks into the database every few seconds and keeps what was seen in the metrics. Whoever asks for them waits for no
database, and many who ask cost it nothing."""

import asyncio
import time
from collections.abc import Mapping
from importlib.metadata import version

from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import SendFile
from messenger.app.effects.thread import RelayFile, ShowFilesLater
from messenger.config import Settings
from messenger.observability import metrics
from messenger.queries.operations import Sample, sample
from messenger.storage.codec import EFFECT_NAMES

_WAIT_FOR_SCANNER = (RelayFile.__name__, SendFile.__name__, ShowFilesLater.__name__)
EVERY_S = 15.0


def name_what_may_be_seen(settings: Settings) -> None:
    """At the start of the process. Groups become known with the first sample."""
    mine = version("stellwerk")
    metrics.VERSIONS.learn({mine: mine})
    metrics.BUILD.of(version=mine).set(1)
    metrics.DESKS.learn({desk.user_id: str(number) for number, desk in enumerate(settings.matrix.desks, start=1)})
    metrics.EFFECTS.learn({name: name for name in EFFECT_NAMES})
    metrics.EVENTS_PER_MESSAGE.of().set_function(_events_per_message)


class Sampler:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._seen_at = engine, time.monotonic()
        metrics.SAMPLE_AGE.of().set_function(lambda: time.monotonic() - self._seen_at)

    async def step(self) -> None:
        await self.look()
        await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        found = await sample(self._engine)
        _keep_work(found)
        _keep_queues(found)
        _keep_care(found)
        self._seen_at = time.monotonic()


def _keep_work(found: Sample) -> None:
    metrics.GROUPS.learn(found.groups)
    for family in (metrics.CONVERSATIONS, metrics.AGENTS, metrics.OLDEST_WAITING):
        family.forget()
    for group in found.groups:
        for state in metrics.STATES:
            metrics.CONVERSATIONS.of(group=group, state=state).set(0)
        metrics.OLDEST_WAITING.of(group=group).set(_age(found.oldest.get(group)))
    for row in found.conversations:
        metrics.CONVERSATIONS.of(group=row["group"], state=row["state"]).set(row["count"])
    for row in found.agents:
        metrics.AGENTS.of(group=row["group"], state=row["state"]).set(row["count"])


def _keep_queues(found: Sample) -> None:
    metrics.INBOX_LAG.of().set(_age(found.inbox_lag))
    metrics.KEY_WAIT.of().set(_age(found.key_wait))
    metrics.OUTBOX_AGE.of().set(_age(found.outbox_age))
    metrics.OUTBOX_DEPTH.forget()
    for kind, count in found.outbox.items():
        metrics.OUTBOX_DEPTH.of(kind=kind).set(count)
    metrics.SCANNER_QUEUE.of().set(sum(found.outbox.get(kind, 0) for kind in _WAIT_FOR_SCANNER))
    metrics.DEAD_LETTERS.of().set(found.dead_letters)
    metrics.OLDEST_TRANSACTION.of().set(_age(found.transaction))
    for table in metrics.TABLES:
        metrics.DEAD_TUPLES.of(table=table).set(found.dead_tuples.get(table, 0))


def _keep_care(found: Sample) -> None:
    for scope in metrics.SCOPES:
        metrics.FLOODS.of(scope=scope).set(found.floods.get(scope, 0))
    metrics.HELD_MESSAGES.of().set(found.held)
    for cause in metrics.DOUBTS:
        metrics.TRUST_ALERTS.of(cause=cause).set(found.doubts.get(cause, 0))
    metrics.ERASURES.of().set(found.erasures)
    metrics.BACKUP_AGE.forget()
    for kind, age in found.backups.items():
        metrics.BACKUP_AGE.of(kind=kind).set(age)
    metrics.WAL_LAG.of().set(max(0.0, found.wal_lag or 0.0))
    _keep_leases(found.leases)


def _keep_leases(leases: Mapping[str, tuple[int, float]]) -> None:
    for resource, (epoch, free_s) in leases.items():
        kind, _, account = resource.partition(":")
        if kind == "desk":
            metrics.LEASE_EPOCH.of(desk=account).set(epoch)
            metrics.LEASE_FREE.of(desk=account).set(_age(free_s))


def _age(seconds: float | None) -> float:
    return max(0.0, seconds or 0.0)


def _events_per_message() -> float:
    events = metrics.REQUESTS.total(endpoint=("send", "redact", "state"), code=("200",))
    return events / max(1.0, metrics.MESSAGES.total())
