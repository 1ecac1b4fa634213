"""The outbox: what shall leave, in lanes, each row under one deterministic transaction id.

A row is claimed with a lease (committed), sent without any open transaction, and settled by whoever still holds the
claim."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.dead_letters import sealed_effect_put_aside
from messenger.app.effects.base import Effect, OfConversation
from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import PostRemarks, ShowFate
from messenger.app.records import OutboxRow
from messenger.channels.errors import LeaseLost
from messenger.domain.ids import MessageId
from messenger.observability import metrics
from messenger.observability.failpoints import fp
from messenger.storage.codec import dump, load_effect
from messenger.storage.courier import NOBODY, Courier
from messenger.storage.data_keys import DataKeys
from messenger.storage.database import fetch
from messenger.storage.inbox import add_rows, sealed_row
from messenger.storage.lanes import Round, walk
from messenger.storage.leases import HELD, Lease
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import dead_letter, outbox
from messenger.storage.statements import Statement
from messenger.storage.together import Write, write

log = logging.getLogger(__name__)

REMARKS_PAUSE, REMARKS_IN_ROOM = timedelta(seconds=10), timedelta(seconds=1)  # in one thread, in one room
MOST_REMARKS = 1_000  # that wait at once
CLAIM_FOR = timedelta(seconds=120)
_OPEN = ("new", "claimed", "unknown")
_WAITS_FOR_A_PERSON = "paused"
_AWAY = ("unreachable", "storage_away", _WAITS_FOR_A_PERSON)
# Text, not parameters: with those PostgreSQL's generic plans do not recognise the partial index any more.
_WAITS = sa.text("state = 'new' AND merge_key IS NOT NULL")


# By the database's clock, which is the one that says what is due.
_INSERT = (
    insert(outbox).values(next_at=sa.func.now() + sa.bindparam("wait", type_=sa.Interval())).on_conflict_do_nothing()
)
# The type of each column of a new row.
_NEW = {
    "conversation_id": "uuid",
    "message_id": "uuid",
    "lane": "text",
    "desk": "text",
    "txn": "text",
    "kind": "text",
    "enc_body": "bytea",
}
# One name for both: what is put second must see the first, which may stand before it in its lane.
_OUTGOING = "outgoing"
_PUT = Write(
    name=_OUTGOING,
    text=f"""
INSERT INTO outbox ({", ".join(_NEW)}, next_at)
VALUES ({", ".join(f"CAST(:{name} AS {type})" for name, type in _NEW.items())}, now() + CAST(:wait AS interval))
ON CONFLICT DO NOTHING""",  # noqa: S608 - fixed texts of ours
)
# A row that is claimed at once by this desk's worker, if nothing is before it in its lane.
_CARRY = sa.text(f"""
INSERT INTO outbox ({", ".join(_NEW)}, next_at, state, attempts, claim_token, claimed_until, first_try_at, device_id)
SELECT {", ".join(f"CAST(:{name} AS {type})" for name, type in _NEW.items())}, now() + CAST(:wait AS interval),
  CASE WHEN goes THEN 'claimed' ELSE 'new' END, CAST(goes AS int), CASE WHEN goes THEN CAST(:token AS uuid) END,
  CASE WHEN goes THEN now() + interval '{CLAIM_FOR.total_seconds()} s' END, CASE WHEN goes THEN now() END,
  CASE WHEN goes THEN CAST(:device AS text) END
FROM (SELECT EXISTS (SELECT FROM lease WHERE resource = :resource AND epoch = :epoch)
  AND NOT EXISTS (SELECT FROM outbox WHERE outbox.lane = CAST(:lane AS text) AND state IN {_OPEN}) AS goes) AS fence
ON CONFLICT DO NOTHING
RETURNING id, txn, made_at, claim_token""")  # noqa: S608 - fixed texts of ours
_HAS_NOT_LEFT = "message_id = CAST(:message AS uuid) AND state = 'new' AND attempts = 0"
_KEEP_BACK = sa.text(f"SELECT id FROM outbox WHERE {_HAS_NOT_LEFT} FOR UPDATE")  # noqa: S608 - fixed texts of ours
_IS_SENDING = sa.text(
    "SELECT true FROM outbox WHERE lane = :lane AND state IN ('new', 'claimed', 'unknown') AND attempts > 0 LIMIT 1"
)
_CANCEL = sa.text(f"UPDATE outbox SET state = 'cancelled', next_at = now() WHERE {_HAS_NOT_LEFT}")  # noqa: S608 - fixed texts of ours
_REMARKS_WAIT = sa.text(f"""
SELECT greatest(interval '0', here.remarks_at - now(), interval '{REMARKS_IN_ROOM.total_seconds()} s' * (
  SELECT count(*) FROM outbox JOIN conversation AS there ON there.id = outbox.conversation_id
  WHERE outbox.state = 'new' AND merge_key IS NOT NULL AND kind = '{PostRemarks.__name__}'
    AND there.card_room = here.card_room
))
FROM conversation AS here WHERE here.id = :here""")  # noqa: S608 - fixed texts of ours


def _delay_s(effect: Effect) -> float:
    return effect.hold_s if isinstance(effect, SendToCustomer) else effect.delay_s


def outbox_place(txn: str) -> str:
    return f"outbox|enc_body|{txn}"


class SqlOutbox:
    """Puts effects into the queue, inside the unit of work that caused them."""

    def __init__(
        self,
        connection: AsyncConnection,
        keys: DataKeys,
        *,
        desk: str,
        namespace: UUID,
        courier: Courier = NOBODY,
    ) -> None:
        self._connection, self._keys, self._desk, self._namespace = connection, keys, desk, namespace
        self._courier = courier
        self._carried: list[OutboxRow] = []
        self._has_left_some = False

    def committed(self) -> None:
        """What was claimed while it was written goes to the worker."""
        if self._carried:
            fp("outbox_claimed")
            self._courier.hand.take(self._carried)
        if self._has_left_some:
            self._courier.hand.look()

    def in_doubt(self) -> None:
        """Whether the unit was committed the database did not say any more."""
        if self._carried:
            self._courier.hand.let_go(self._carried)

    async def put(self, source: str, effects: Sequence[Effect]) -> None:
        key = await self._keys.of_queue()
        rows: list[dict[str, Any]] = []
        by_txn: dict[str, Effect] = {}
        for n, effect in enumerate(effects):
            txn = "m" + uuid5(self._namespace, f"{source}|{effect.lane}|{n}").hex
            by_txn[txn] = effect
            rows.append(
                {
                    "conversation_id": effect.conversation if isinstance(effect, OfConversation) else None,
                    "message_id": effect.message if isinstance(effect, SendToCustomer) else None,
                    "lane": effect.lane,
                    "desk": self._desk,
                    "txn": txn,
                    "kind": type(effect).__name__,
                    "merge_key": effect.merge_key,
                    "enc_body": key.seal(dump(effect), where=outbox_place(txn)),
                    "wait": timedelta(seconds=_delay_s(effect)),
                }
            )
        await self._hurry_fates(effects)
        await self._space_card_edits(effects, rows)
        await self._insert([row for row in rows if row["merge_key"] is None], by_txn)
        for effect, row in zip(effects, rows, strict=True):
            if isinstance(effect, PostRemarks):
                await self._remark(effect, row)
        await self._merge([row for row in rows if row["merge_key"] is not None and row["kind"] != PostRemarks.__name__])

    async def keep_back(self, message: MessageId) -> bool:
        """One that was tried may have got through, so it counts as gone."""
        return (await self._connection.execute(_KEEP_BACK, {"message": message})).first() is not None

    async def cancel(self, message: MessageId) -> None:
        await self._connection.execute(_CANCEL, {"message": message})
        self._has_left_some = True  # what stood behind it may be due

    async def hurry(self) -> None:
        await hurry(self._connection, desk=self._desk)
        self._has_left_some = True

    async def is_sending(self, lane: str) -> bool:
        return bool(await self._connection.scalar(_IS_SENDING, {"lane": lane}))

    async def _insert(self, rows: Sequence[dict[str, Any]], effects: Mapping[str, Effect]) -> None:
        heads = {row["lane"]: row["txn"] for row in reversed(rows)}
        going = [row for row in rows if row["txn"] in heads.values() and self._courier.may_carry(effects[row["txn"]])]
        for row in going:
            await self._carry(row, effects[row["txn"]])
        rest = [row for row in rows if row not in going]
        if not rest:
            return
        self._has_left_some = True
        if len(rows) == 1:
            await write(self._connection, _PUT, {name: rows[0][name] for name in (*_NEW, "wait")})
        else:
            await self._connection.execute(_INSERT, rest)

    async def _carry(self, row: dict[str, Any], effect: Effect) -> None:
        courier = self._courier
        fence = {"resource": courier.lease.resource, "epoch": courier.lease.epoch}
        values = {name: row[name] for name in (*_NEW, "wait")} | {"token": uuid4(), "device": courier.device}
        going = Write(name=_OUTGOING, text=_CARRY.text, told=("id", "txn", "made_at", "claim_token"))

        def hear(told: Mapping[str, Any]) -> None:
            if told["claim_token"] is not None:
                self._carried.append(_carried(told, effect, courier.device))
            else:
                self._has_left_some = True

        await write(self._connection, going, values | fence, hear=hear)

    async def _merge(self, rows: Sequence[dict[str, Any]]) -> None:
        """A row that waits already will do, and so will the first of several that one command asks for. It is locked
        until we commit: who sends it must see our state, not the last."""
        first = {row["merge_key"]: row for row in reversed(rows)}
        if first:
            self._has_left_some = True
            new = insert(outbox).values([_with_moment(row) for row in first.values()])
            await self._connection.execute(
                new.on_conflict_do_update(
                    index_elements=[outbox.c.merge_key], index_where=_WAITS, set_={"merge_key": new.excluded.merge_key}
                )
            )

    async def _remark(self, effect: PostRemarks, row: dict[str, Any]) -> None:
        """Joins those that wait; else it keeps its distance from the last ones, and waits for those of other threads in
        its room. What one chat brings is handled one by one, so no two turns of one thread meet here."""
        is_waiting = sa.and_(outbox.c.merge_key == effect.merge_key, outbox.c.state == "new")
        waiting = (
            sa.select(outbox.c.id, outbox.c.txn, outbox.c.attempts, outbox.c.enc_body)
            .where(is_waiting)
            .with_for_update()
        )
        found = (await self._connection.execute(waiting)).first()
        if found is None:
            row["wait"] = await self._connection.scalar(_REMARKS_WAIT, {"here": effect.conversation})
            return await self._merge([row])
        if found.attempts:  # it may have got through as it is, and nothing joins it any more
            self._has_left_some = True
            await self._connection.execute(_INSERT, [row | {"merge_key": None}])
            return None
        where = outbox_place(found.txn)
        before = load_effect(PostRemarks.__name__, await self._keys.open(found.enc_body, where=where))
        assert isinstance(before, PostRemarks)
        newer = {line.about for line in effect.lines if line.about}
        lines = [*(line for line in before.lines if line.about not in newer), *effect.lines]
        dropped = max(0, len(lines) - MOST_REMARKS)
        metrics.REMARKS_DROPPED.of().inc(dropped)
        joined = replace(before, lines=lines[:MOST_REMARKS], more=before.more + dropped)
        body = (await self._keys.of_queue()).seal(dump(joined), where=where)
        await self._connection.execute(outbox.update().where(outbox.c.id == found.id).values(enc_body=body))

    async def _hurry_fates(self, effects: Sequence[Effect]) -> None:
        """A marker that waits for a better one need not wait any longer when the final fate is known."""
        lanes = [effect.lane for effect in effects if isinstance(effect, ShowFate) and not effect.delay_s]
        if lanes:
            waiting = outbox.update().where(outbox.c.merge_key.in_(lanes), outbox.c.state == "new")
            await self._connection.execute(waiting.values(next_at=sa.func.now()))

    async def _space_card_edits(self, effects: Sequence[Effect], rows: list[dict[str, Any]]) -> None:
        ids = [effect.conversation for effect in effects if isinstance(effect, EditCard)]
        if not ids:
            return
        wait = (conversation.c.card_edit_at - sa.func.now()).label("wait")
        query = sa.select(conversation.c.id, wait).where(conversation.c.id.in_(ids))
        waits = {row.id: row.wait for row in await self._connection.execute(query)}
        for effect, row in zip(effects, rows, strict=True):
            if isinstance(effect, EditCard) and waits.get(effect.conversation):
                row["wait"] = max(timedelta(0), waits[effect.conversation])


def _with_moment(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "wait"} | {"next_at": sa.func.now() + row["wait"]}


def _carried(row: Mapping[str, Any], effect: Effect, device: str) -> OutboxRow:
    return OutboxRow(
        id=row["id"],
        txn=row["txn"],
        token=row["claim_token"],
        attempts=1,
        made_at=row["made_at"],
        first_try_at=row["made_at"],
        device_id=device,
        effect=effect,
    )


# Fence and claim in one statement. A single row that is not `held` says that the lease is lost.
_CLAIM = Statement(
    f"""{walk("outbox", f"state IN {_OPEN}")}, {HELD}, due AS (
  SELECT head.id FROM walk CROSS JOIN LATERAL (
    SELECT id FROM outbox
    WHERE outbox.id = walk.id AND desk = :desk AND next_at <= now()
      AND (state = 'new' OR state = 'claimed' AND claimed_until < now())
      AND (message_id IS NULL OR attempts > 0
        OR NOT :holds_answers AND next_at <= coalesce(CAST(:latest AS timestamptz), 'infinity'))
    FOR UPDATE SKIP LOCKED
  ) AS head WHERE EXISTS (SELECT FROM held) LIMIT :most
), claimed AS (
  UPDATE outbox SET state = 'claimed', claim_token = :token,
    claimed_until = now() + interval '{CLAIM_FOR.total_seconds()} s', attempts = attempts + 1,
    first_try_at = coalesce(first_try_at, now()), device_id = coalesce(device_id, :device)
  FROM due WHERE outbox.id = due.id
  RETURNING outbox.id, conversation_id, lane, txn, attempts, failures, made_at, first_try_at, device_id, kind, enc_body,
    coalesce(now() - failing_since, interval '0') AS failing_for, attempts > 1 AND EXISTS (
      SELECT FROM room_succession AS moved
      WHERE 'chat:' || moved.chat_id = outbox.lane AND moved.at >= outbox.first_try_at
    ) AS has_moved
)
SELECT claimed.*, fence.is_held
FROM (SELECT EXISTS (SELECT FROM held) AS is_held) AS fence LEFT JOIN claimed ON true
WHERE claimed.id IS NOT NULL OR NOT fence.is_held"""  # noqa: S608 - fixed texts of ours
)


async def space_remarks(connection: AsyncConnection, id: UUID) -> None:
    """The next ones not before; some may wait already, because these were on their way."""
    later = sa.func.now() + REMARKS_PAUSE
    await connection.execute(conversation.update().where(conversation.c.id == id).values(remarks_at=later))
    waiting = outbox.update().where(outbox.c.merge_key == f"remarks:{id}", outbox.c.state == "new")
    await connection.execute(waiting.values(next_at=sa.func.greatest(outbox.c.next_at, later)))


async def claim(
    connection: AsyncConnection,
    round: Round,
    *,
    lease: Lease,
    desk: str,
    device: str,
    most: int,
    token: UUID,
    holds_answers: bool = False,
    latest: datetime | None = None,
) -> list[Any]:
    """Claims the head rows of up to `most` lanes, oldest first, still sealed. Of answers that nobody has tried to send
    yet none with `holds_answers`, and none that is due only after `latest`. One statement: fence, claim and commit are
    one. Raises LeaseLost."""
    values = {"after": round.after, "desk": desk, "device": device, "token": token, "most": most}
    values |= {"holds_answers": holds_answers, "latest": latest}
    found = await fetch(connection, _CLAIM, values | {"resource": lease.resource, "epoch": lease.epoch})
    if not all(row.is_held for row in found):
        raise LeaseLost(lease.resource)
    round.served([row.lane for row in found])
    return sorted(found, key=lambda row: row.id)


async def bury(connection: AsyncConnection, keys: DataKeys, row: Any, reason: str) -> None:
    """What cannot be opened cannot be tried again: it blocks nothing, whatever it was."""
    log.error("outbox row does not open", extra={"row_id": row.id, "kind": row.kind, "error": reason})
    await connection.execute(outbox.update().where(outbox.c.id == row.id).values(state="dead", code="unreadable"))
    await connection.execute(dead_letter.insert().values(queue="outbox", row_id=row.id, reason=reason))
    if row.conversation_id is not None:
        word = sealed_effect_put_aside(row.conversation_id, txn=row.txn, kind=row.kind, attempts=row.attempts)
        await add_rows(connection, [await sealed_row(keys, word)])


async def opened(keys: DataKeys, row: Any, token: UUID) -> OutboxRow:
    return OutboxRow(
        id=row.id,
        txn=row.txn,
        token=token,
        attempts=row.attempts,
        failures=row.failures,
        failing_for=row.failing_for,
        has_moved=row.has_moved,
        made_at=row.made_at,
        first_try_at=row.first_try_at,
        device_id=row.device_id,
        effect=load_effect(row.kind, await keys.open(row.enc_body, where=outbox_place(row.txn))),
    )


async def take_back_claims(engine: AsyncEngine, *, desk: str) -> None:
    """Called by a process that has just taken the desk's lease: what its predecessor had claimed is free at once."""
    async with engine.begin() as connection:
        await connection.execute(
            outbox.update()
            .where(outbox.c.desk == desk, outbox.c.state == "claimed")
            .values(claimed_until=sa.func.now())
        )
        await hurry(connection, desk=desk)


async def hurry(connection: AsyncConnection, *, desk: str) -> None:
    """What waits because the homeserver or the database was away, or for a decision, is due now. Failures of an outage
    that is over make no later pause longer: what answers first may need a moment more for the rest."""
    waits = sa.and_(outbox.c.desk == desk, outbox.c.state == "new", outbox.c.code.in_(_AWAY))
    failures = sa.case((outbox.c.code == _WAITS_FOR_A_PERSON, outbox.c.failures), else_=0)
    await connection.execute(outbox.update().where(waits).values(next_at=sa.func.now(), failures=failures))


def mine(row: OutboxRow) -> sa.Update:
    return outbox.update().where(outbox.c.id == row.id, outbox.c.claim_token == row.token, outbox.c.state == "claimed")
