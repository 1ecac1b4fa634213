"""Is this database the one and only that a desk has? Three things tell: a row that no backup holds, a mark that only
grows and is kept at the homeserver too, and the epoch of the lease."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.storage.codec import load_effect
from messenger.storage.data_keys import DataKeys
from messenger.storage.leases import Lease, fence
from messenger.storage.models.conversations import conversation, place, remote_message
from messenger.storage.models.disaster import living_desk, sent_before
from messenger.storage.models.queues import desk, inbox, lease, outbox
from messenger.storage.models.rights import erasure
from messenger.storage.outbox import outbox_place

# What leaves an event with our id in it, of which a second one would be a doubled message, and a missing one a gap. All
# else shows a state or arranges something: it comes again when there is something to show or to arrange.
SAID_ONCE = (
    "PostCard",
    "RelayToThread",
    "RelayFile",
    "PostNotice",
    "PostRemarks",
    "PostContext",
    "PostPack",
    "ShowFiles",
    "ShowFilesLater",
    "ShowHistory",
    "ShowTranscript",
    "SendToCustomer",
    "SendFile",
    "TellCustomer",
    "GreetCustomer",
    "WarnCustomer",
    "OfferMenu",
    "AnswerInRoom",
    "SayAnswer",
    "TellPerson",
    "TellGroup",
    "SayOfTrust",
)
# The words of their message may be there without them.
_BESIDE_THEIR_WORDS = ("RelayFile", "SendFile")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """One of our own events, as the homeserver shows it."""

    txn: str
    room_id: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """(room, event) of some messages, and when the oldest of them came; None: there are no more."""

    events: Sequence[tuple[str, str]]
    since: datetime | None


async def is_alive(engine: AsyncEngine, account: str) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(sa.select(sa.exists().where(living_desk.c.account == account))))


async def give_life(connection: AsyncConnection, account: str) -> None:
    await connection.execute(insert(living_desk).values(account=account).on_conflict_do_nothing())


async def raise_epoch(engine: AsyncEngine, held: Lease) -> Lease:
    """Beyond every epoch that a process of before the restore may hold: there has been less than one change of owner
    for each second since 1970."""
    epoch = sa.func.greatest(lease.c.epoch + 1, sa.cast(sa.func.extract("epoch", sa.func.now()), sa.BigInteger))
    mine = lease.update().where(lease.c.resource == held.resource, lease.c.epoch == held.epoch)
    async with engine.begin() as connection:
        new = (await connection.execute(mine.values(epoch=epoch).returning(lease.c.epoch))).scalar_one()
    return Lease(held.resource, held.owner, int(new))


async def mark_of(engine: AsyncEngine, account: str) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(sa.select(desk.c.mark).where(desk.c.account == account)) or 0)


async def raise_mark(engine: AsyncEngine, held: Lease, account: str, *, beyond: int = 0) -> int:
    """The next mark, above `beyond` too. Committed when this returns: the homeserver hears of it afterwards. Raises
    LeaseLost."""
    async with engine.begin() as connection:
        await fence(connection, held)
        new = sa.func.greatest(desk.c.mark, beyond) + 1
        changed = desk.update().where(desk.c.account == account).values(mark=new).returning(desk.c.mark)
        return int((await connection.execute(changed)).scalar_one())


async def activity(engine: AsyncEngine) -> tuple[int, int, int]:
    """Grows with everything that comes or leaves, and the last with every line of the erasure ledger."""
    columns = (inbox.c.id, outbox.c.id, erasure.c.ledger_position)
    async with engine.connect() as connection:
        row = await connection.execute(sa.select(*(sa.select(sa.func.max(each)).scalar_subquery() for each in columns)))
    came, left, erased = (int(value or 0) for value in row.one())
    return came, left, erased


async def newest_work(engine: AsyncEngine) -> datetime | None:
    """When the database last heard or wanted to say something."""
    newest = sa.func.greatest(
        sa.select(sa.func.max(inbox.c.received_at)).scalar_subquery(),
        sa.select(sa.func.max(outbox.c.made_at)).scalar_subquery(),
    )
    async with engine.connect() as connection:
        found: datetime | None = await connection.scalar(sa.select(newest))
    return found


async def known_events(engine: AsyncEngine, account: str, *, most: int, skip: int = 0) -> Known:
    """Of the messages that came last: the event itself and the copies that we made of it."""
    newest = (
        sa.select(inbox.c.id, inbox.c.received_at, remote_message.c.message_id)
        .join(
            remote_message,
            sa.and_(remote_message.c.account == inbox.c.source, remote_message.c.remote_id == inbox.c.source_id),
        )
        .where(inbox.c.source == account, remote_message.c.message_id.is_not(None))
        .order_by(inbox.c.id.desc())
        .limit(most)
        .offset(skip)
        .subquery()
    )
    copies = sa.select(remote_message.c.room, remote_message.c.remote_id).where(
        remote_message.c.account == account, remote_message.c.message_id.in_(sa.select(newest.c.message_id))
    )
    async with engine.connect() as connection:
        since: datetime | None = await connection.scalar(sa.select(sa.func.min(newest.c.received_at)))
        events = [(row.room, row.remote_id) for row in await connection.execute(copies)]
    return Known(events=events, since=since)


async def load_sent(engine: AsyncEngine, account: str) -> Mapping[str, tuple[str, str]]:
    """Transaction id -> (room, event) of what had been sent when the desk was recovered."""
    async with engine.connect() as connection:
        rows = await connection.execute(sa.select(sent_before).where(sent_before.c.account == account))
        return {row.txn: (row.room_id, row.event_id) for row in rows}


async def save_sent(engine: AsyncEngine, account: str, events: Sequence[SentEvent]) -> None:
    rows = [
        {"account": account, "txn": event.txn, "room_id": event.room_id, "event_id": event.event_id} for event in events
    ]
    if rows:
        async with engine.begin() as connection:
            await connection.execute(insert(sent_before).on_conflict_do_nothing(), rows)


async def send_again(
    engine: AsyncEngine, keys: DataKeys, account: str, *, since: datetime, there: Collection[str]
) -> int:
    """What we know as sent since then and the homeserver does not have leaves once more, under its old transaction id:
    it is not in `sent_before`, and none of its events is `there` (one that was redacted shows no id of ours any more).
    Returns how much."""
    async with engine.begin() as connection:
        rows = (await connection.execute(_LOST, {"account": account, "since": since})).all()
        lost = [row for row in rows if not await _is_there(connection, keys, account, row, there)]
        again = outbox.update().where(outbox.c.id.in_([row.id for row in lost]))
        never_tried = {"attempts": 0, "failures": 0, "first_try_at": None, "failing_since": None, "device_id": None}
        await connection.execute(
            again.values(state="new", next_at=sa.func.now(), code=None, merge_key=None, **never_tried)
        )
        await _forget_cards(connection, there, [row.conversation_id for row in lost if row.kind == "PostCard"])
    return len(lost)


_LOST = (
    sa.select(outbox.c.id, outbox.c.kind, outbox.c.conversation_id, outbox.c.txn, outbox.c.enc_body)
    .where(
        outbox.c.desk == sa.bindparam("account"),
        outbox.c.state == "sent",
        outbox.c.kind.in_(SAID_ONCE),
        outbox.c.enc_body != b"",  # a finished row keeps its words for two days (`sweep`)
        sa.func.coalesce(outbox.c.first_try_at, outbox.c.made_at) >= sa.bindparam("since"),
        ~sa.exists().where(sent_before.c.account == outbox.c.desk, sent_before.c.txn == outbox.c.txn),
    )
    .order_by(outbox.c.id)
)


async def _is_there(
    connection: AsyncConnection, keys: DataKeys, account: str, row: Any, there: Collection[str]
) -> bool:
    effect = load_effect(row.kind, await keys.open(row.enc_body, where=outbox_place(row.txn)))
    message = getattr(effect, "message", None)
    if message is None or row.kind in _BESIDE_THEIR_WORDS:
        return False
    copies = sa.select(remote_message.c.remote_id).where(
        remote_message.c.account == account, remote_message.c.message_id == message, remote_message.c.kind == "copy"
    )
    return any(event in there for event in await connection.scalars(copies))


async def _forget_cards(connection: AsyncConnection, there: Collection[str], ids: Sequence[object]) -> None:
    """A card that is not there any more gets a new one in its place."""
    rows = (await connection.execute(sa.select(place).where(place.c.conversation_id.in_(ids)))).all()
    for row in rows:
        if row.card in there:
            continue
        mine = sa.and_(place.c.conversation_id == row.conversation_id, place.c.number == row.number)
        await connection.execute(place.update().where(mine).values(card=""))
        shown = sa.and_(conversation.c.id == row.conversation_id, conversation.c.card_event == row.card)
        await connection.execute(conversation.update().where(shown).values(card_event=None))
