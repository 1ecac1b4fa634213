"""A homeserver that was restored from an older backup lacks what we said last: it is said once more, and what names the
lost events is forgotten, so that edits, replies and markers go to the new ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.effects.base import Effect
from messenger.app.effects.customer import OfferMenu, SendFile, SendToCustomer
from messenger.app.effects.places import PostCard
from messenger.app.effects.thread import RelayFile, RelayToThread, ShowFate, ShowFiles, ShowFilesLater
from messenger.app.message_parts import APART
from messenger.storage.codec import dump, load_effect
from messenger.storage.data_keys import DataKeys
from messenger.storage.models.conversations import conversation, place, remote_message
from messenger.storage.models.disaster import sent_before
from messenger.storage.models.queues import outbox
from messenger.storage.outbox import outbox_place

# What leaves an event of ours, of which a second one would be a doubled message, and a missing one a gap. All else
# shows a state or arranges something: it comes again when there is something to show or to arrange.
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
    "ShowFate",
    "ShowFateNow",
    "SendToCustomer",
    "SendFile",
    "TellCustomer",
    "GreetCustomer",
    "WarnCustomer",
    "OfferMenu",
    "EndMenu",
    "AnswerInRoom",
    "SayAnswer",
    "ShowQueue",
    "ShowMine",
    "TellPerson",
    "TellGroup",
    "SayOfTrust",
)
_OPEN = ("new", "claimed", "unknown")
_TXN = 33  # the length of a row's transaction id; those of its parts are longer


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """One of our own events, as the homeserver shows it."""

    txn: str
    room_id: str
    event_id: str


async def load_sent(engine: AsyncEngine, account: str) -> Mapping[str, tuple[str, str]]:
    """Transaction id -> (room, event) of what had been sent when the desk was recovered."""
    async with engine.connect() as connection:
        rows = await connection.execute(sa.select(sent_before).where(sent_before.c.account == account))
        return {row.txn: (row.room_id, row.event_id) for row in rows}


async def save_sent(engine: AsyncEngine, account: str, events: Sequence[SentEvent]) -> None:
    """What an earlier recovery has found may be lost by now, and have been sent again."""
    rows = [
        {"account": account, "txn": event.txn, "room_id": event.room_id, "event_id": event.event_id} for event in events
    ]
    new = insert(sent_before)
    found = {"room_id": new.excluded.room_id, "event_id": new.excluded.event_id}
    if rows:
        async with engine.begin() as connection:
            await connection.execute(
                new.on_conflict_do_update(index_elements=list(sent_before.primary_key), set_=found), rows
            )


async def send_again(
    engine: AsyncEngine,
    keys: DataKeys,
    account: str,
    *,
    since: datetime,
    events: Collection[str],
    txns: Collection[str],
) -> int:
    """`events` are ours that the homeserver has since then, `txns` what they tell: one that was redacted tells nothing.
    What has ended since then and is not among them leaves once more, under its old transaction id. Returns how much."""
    there = _There(events=frozenset(events), bases=frozenset(txn[: _TXN + 1] for txn in txns))
    async with engine.begin() as connection:
        ended = (await connection.execute(_ENDED, {"account": account, "since": since})).all()
        said = [await _said(connection, keys, account, row) for row in ended]
        lost = _without_old_markers([each for each in said if not there.has(each)])
        for each in lost:
            await _forget(connection, account, each, there)
        await _make_due(connection, lost, since)
        for each in lost:
            await _leave_out_its_file(connection, keys, each)
    return len(lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A row that was sent. `names`: the events by which its message is known, of those that it has left."""

    id: int
    txn: str
    effect: Effect
    names: Sequence[Any]

    @property
    def base(self) -> str:
        """The transaction under which it was posted, or what several of them begin with."""
        match self.effect:
            case RelayFile() | SendFile():
                return self.effect.sent_as
            case ShowFilesLater():
                return f"{self.effect.sent_as}f"
            case ShowFiles():
                return f"{self.txn}f"
            case _:
                return self.txn

    @property
    def words(self) -> Sequence[Any]:
        """Those that went ahead of their file: the transaction is the file's then."""
        return [name for name in self.names if name.part >= APART]


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    events: frozenset[str]
    bases: frozenset[str]

    def has(self, said: _Said) -> bool:
        names = said.words or said.names
        if names or isinstance(said.effect, ShowFate):  # a marker tells no transaction
            return all(name.remote_id in self.events for name in names)
        return said.base in self.bases


_ENDED = (
    sa.select(outbox.c.id, outbox.c.kind, outbox.c.txn, outbox.c.enc_body)
    .where(
        outbox.c.desk == sa.bindparam("account"),
        outbox.c.state == "sent",
        outbox.c.kind.in_(SAID_ONCE),
        outbox.c.enc_body != b"",  # a finished row keeps its words for two days (`sweep`)
        outbox.c.next_at >= sa.bindparam("since"),
    )
    .order_by(outbox.c.id)
)


async def _said(connection: AsyncConnection, keys: DataKeys, account: str, row: Any) -> _Said:
    effect = load_effect(row.kind, await keys.open(row.enc_body, where=outbox_place(row.txn)))
    named = remote_message.c.message_id == getattr(effect, "message", None)
    query = sa.select(remote_message).where(remote_message.c.account == account, named)
    names = (await connection.execute(query.where(remote_message.c.kind == _kind(effect)))).all()
    if isinstance(effect, RelayFile | SendFile):
        names = [name for name in names if name.part < APART]
    return _Said(id=row.id, txn=row.txn, effect=effect, names=names)


def _kind(effect: Effect) -> str:
    match effect:
        case RelayToThread() | SendToCustomer():
            return "copy"
        case OfferMenu():
            return "notice"
        case ShowFate():
            return "fate"
        case _:
            return ""


def _without_old_markers(lost: Sequence[_Said]) -> Sequence[_Said]:
    """Each shows the fate as it is now."""
    last = {each.effect.lane: each for each in lost if isinstance(each.effect, ShowFate)}
    return [each for each in lost if last.get(each.effect.lane, each) is each]


async def _forget(connection: AsyncConnection, account: str, lost: _Said, there: _There) -> None:
    gone = [name.remote_id for name in lost.names if name.remote_id not in there.events]
    by_id = sa.and_(remote_message.c.account == account, remote_message.c.remote_id.in_(gone))
    await connection.execute(remote_message.delete().where(by_id))
    if isinstance(lost.effect, PostCard):
        await _forget_card(connection, lost.effect, there)
    # An earlier recovery may have found it, and the sender would take that for the answer.
    found = sa.and_(sent_before.c.account == account, sent_before.c.txn.startswith(lost.base))
    for row in (await connection.execute(sa.select(sent_before).where(found))).all():
        if row.event_id not in there.events:
            stale = sa.and_(sent_before.c.account == account, sent_before.c.txn == row.txn)
            await connection.execute(sent_before.delete().where(stale))


async def _forget_card(connection: AsyncConnection, effect: PostCard, there: _There) -> None:
    """It gets a new one in its place."""
    mine = sa.and_(place.c.conversation_id == effect.conversation, place.c.number == effect.place)
    card = await connection.scalar(sa.select(place.c.card).where(mine))
    if card in there.events:
        return
    await connection.execute(place.update().where(mine).values(card=""))
    shown = sa.and_(conversation.c.id == effect.conversation, conversation.c.card_event == card)
    await connection.execute(conversation.update().where(shown).values(card_event=None))


async def _make_due(connection: AsyncConnection, lost: Sequence[_Said], since: datetime) -> None:
    """Never tried, and merged with nothing. Of what was tried before already a part may be there, from before: it is
    looked for, as after another device's try."""
    is_old = outbox.c.first_try_at < since
    values = {
        "state": "new",
        "next_at": sa.func.now(),
        "attempts": sa.case((is_old, 1), else_=0),
        "device_id": sa.case((is_old, ""), else_=None),
        "first_try_at": None,
        "failures": 0,
        "failing_since": None,
        "code": None,
        "merge_key": None,
    }
    ids = sa.cast([each.id for each in lost], ARRAY(sa.BigInteger))
    await connection.execute(outbox.update().where(outbox.c.id == sa.any_(ids)).values(**values))


async def _leave_out_its_file(connection: AsyncConnection, keys: DataKeys, lost: _Said) -> None:
    """Words that went ahead come alone, unless their file is still to come: else it would be looked for instead."""
    effect = lost.effect
    if not lost.words or not isinstance(effect, RelayToThread | SendToCustomer):
        return
    is_open = sa.exists().where(outbox.c.lane == f"file:{effect.message}", outbox.c.state.in_(_OPEN))
    if not await connection.scalar(sa.select(is_open)):
        alone = dump(replace(effect, is_words_only=True))
        body = (await keys.of_queue()).seal(alone, where=outbox_place(lost.txn))
        await connection.execute(outbox.update().where(outbox.c.id == lost.id).values(enc_body=body))
