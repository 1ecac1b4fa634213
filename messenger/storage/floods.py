"""The floods, and the buckets between two processes. What is held stays in the inbox, in its lane, in a state that
nobody claims."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.flood_ports import Flood, NewFlood, Standing, Verdict
from messenger.app.pace import Bucket
from messenger.app.records import InboxRow
from messenger.domain.ids import ChatId, ContactId, ConversationId, GroupId
from messenger.domain.limits import Scope
from messenger.storage.database import transaction
from messenger.storage.models.floods import flood, rate_bucket

CARD_PAUSE = timedelta(seconds=10)
# What people do in a chat. That the desk was thrown out of it, for example, is told all the same.
_BY_PEOPLE = (
    "'InboundMessage', 'Unsupported', 'MessageEdited', 'MessageDeleted', 'CustomerReacted', 'ReactionsChanged', "
    "'Unreadable'"
)
_STANDING = """
SELECT chat.id, chat.contact_id, chat.conversation_id, (
  SELECT flood.id FROM flood WHERE scope = 'contact' AND key = chat.contact_id AND verdict IS NULL
) AS flood
FROM chat WHERE """
_OF_ROOM = sa.text(_STANDING + "account = :account AND remote = :room")
_OF_FORMER_ROOM = sa.text(
    _STANDING  # noqa: S608 - fixed texts of ours
    + "chat.id = (SELECT chat_id FROM room_succession AS former WHERE account = :account AND room_id = :room)"
)
_BACKLOG = sa.text(
    "SELECT count(*) FROM (SELECT FROM inbox WHERE lane = :lane AND state = 'new' LIMIT :most) AS behind"
)
_HOLD = sa.text(f"""
UPDATE inbox SET state = 'held', flood_id = :flood
WHERE lane = :lane AND state = 'new' AND kind IN ({_BY_PEOPLE})""")  # noqa: S608 - fixed texts of ours
_DROP = sa.text("""
UPDATE inbox SET state = 'done', enc_body = '', enc_raw = NULL, next_at = now()
WHERE flood_id = :flood AND state = 'held' AND kind <> 'MessageDeleted'""")
_ADMIT = sa.text("""
UPDATE inbox SET state = 'new', next_at = now(), paced = 'admitted' WHERE flood_id = :flood AND state = 'held'""")
_HELD = sa.text("""
SELECT count(*) AS messages, count(DISTINCT lane) AS people FROM inbox WHERE flood_id = :flood AND state = 'held'""")
_STALE = sa.text("""
SELECT id, group_id FROM flood WHERE verdict IS NULL AND event IS NOT NULL AND edit_at <= now() AND shown <> (
  SELECT count(*) FROM inbox WHERE flood_id = flood.id AND state = 'held')""")


def _standing(chat: UUID, contact: UUID, conversation: UUID | None, flood: int | None) -> Standing:
    return Standing(
        chat=ChatId(chat),
        contact=ContactId(contact),
        conversation=ConversationId(conversation) if conversation else None,
        flood=flood,
    )


class SqlFloods:
    """The `FloodPort`."""

    def __init__(self, connection: AsyncConnection, *, now: datetime) -> None:
        self._connection, self.now = connection, now
        self._of_lane: Any = None

    def remember(self, of_lane: Any) -> None:
        """What was read along with the claim, in whose chat it was said."""
        self._of_lane = of_lane

    async def standing(self, account: str, room: str) -> Standing | None:
        known = self._of_lane
        if known is not None and (known.c_account, known.c_remote) == (account, room):
            return _standing(known.c_id, known.c_contact, known.c_conversation, known.c_flood)
        where = {"account": account, "room": room}
        row = (await self._connection.execute(_OF_ROOM, where)).first()
        row = row or (await self._connection.execute(_OF_FORMER_ROOM, where)).first()
        return _standing(row.id, row.contact_id, row.conversation_id, row.flood) if row is not None else None

    async def backlog(self, lane: str, most: int) -> int:
        return int(await self._connection.scalar(_BACKLOG, {"lane": lane, "most": most}) or 0)

    async def open_among(self, keys: Sequence[UUID]) -> int | None:
        query = sa.select(flood.c.id).where(flood.c.key.in_(keys), flood.c.verdict.is_(None))
        return await self._connection.scalar(query.limit(1))

    async def begin(self, new: NewFlood) -> tuple[int, bool]:
        row = insert(flood).values(
            scope=new.scope.value,
            key=new.key,
            about=new.about,
            group_id=new.group,
            chat_id=new.chat,
            conversation_id=new.conversation,
            since=self.now,
        )
        once = row.on_conflict_do_nothing(
            index_elements=["scope", "key"], index_where=sa.text("verdict IS NULL")
        ).returning(flood.c.id)
        id = await self._connection.scalar(once)
        if id is not None:
            return int(id), True
        known = sa.select(flood.c.id).where(flood.c.scope == new.scope.value, flood.c.key == new.key)
        return int((await self._connection.execute(known.where(flood.c.verdict.is_(None)))).scalar_one()), False

    async def hold(self, row: InboxRow, id: int) -> bool:
        # Whoever decides waits for this unit, and then finds what it has held.
        still = sa.select(flood.c.id).where(flood.c.id == id, flood.c.verdict.is_(None)).with_for_update(read=True)
        if await self._connection.scalar(still) is None:
            return False
        await self._connection.execute(_HOLD, {"lane": row.lane, "flood": id})
        return True

    async def get(self, id: int) -> Flood | None:
        row = (await self._connection.execute(sa.select(flood).where(flood.c.id == id))).first()
        return await self._as_flood(row) if row else None

    async def open_in(self, groups: Sequence[GroupId]) -> Sequence[Flood]:
        query = sa.select(flood).where(flood.c.group_id.in_(groups), flood.c.verdict.is_(None)).order_by(flood.c.id)
        return [await self._as_flood(row) for row in (await self._connection.execute(query)).all()]

    async def decide(self, id: int, verdict: Verdict, *, by: str) -> bool:
        decided = flood.update().where(flood.c.id == id, flood.c.verdict.is_(None))
        values = {"verdict": verdict, "decided_by": by, "decided_at": self.now}
        if not (await self._connection.execute(decided.values(values))).rowcount:
            return False
        held = (await self._connection.execute(_HELD, {"flood": id})).one()
        counts = flood.update().where(flood.c.id == id)
        await self._connection.execute(counts.values(messages=held.messages, people=held.people))
        if verdict == "dropped":
            await self._connection.execute(_DROP, {"flood": id})
        await self._connection.execute(_ADMIT, {"flood": id})
        return True

    async def stale(self) -> Sequence[tuple[int, GroupId]]:
        return [(row.id, GroupId(row.group_id)) for row in await self._connection.execute(_STALE)]

    async def _as_flood(self, row: Any) -> Flood:
        held: Any = row if row.verdict else (await self._connection.execute(_HELD, {"flood": row.id})).one()
        return Flood(
            id=row.id,
            scope=Scope(row.scope),
            about=row.about,
            group=GroupId(row.group_id),
            chat=ChatId(row.chat_id) if row.chat_id else None,
            conversation=ConversationId(row.conversation_id) if row.conversation_id else None,
            since=row.since,
            messages=held.messages,
            people=held.people,
            verdict=row.verdict,
            decided_by=row.decided_by or "",
            decided_at=row.decided_at,
            event=row.event,
        )


async def note_card(connection: AsyncConnection, id: int, event: str, shown: int) -> None:
    values = {"event": event, "shown": shown, "edit_at": sa.func.now() + CARD_PAUSE}
    await connection.execute(flood.update().where(flood.c.id == id).values(**values))


class SqlBuckets:
    """The `BucketStore`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self, now: datetime) -> Sequence[Bucket]:
        async with transaction(self._engine) as connection:
            rows = await connection.execute(sa.select(rate_bucket).where(rate_bucket.c.full_at > now))
            return [Bucket(scope=Scope(row.scope), key=row.key, full_at=row.full_at) for row in rows]

    async def save(self, buckets: Sequence[Bucket], now: datetime) -> None:
        rows = [{"scope": each.scope.value, "key": each.key, "full_at": each.full_at} for each in buckets]
        new = insert(rate_bucket).values(rows)
        async with transaction(self._engine) as connection:
            await connection.execute(
                new.on_conflict_do_update(
                    index_elements=list(rate_bucket.primary_key), set_={"full_at": new.excluded.full_at}
                )
            )
            await connection.execute(rate_bucket.delete().where(rate_bucket.c.full_at <= now))
