"""While the virus scanner is away files wait and nothing else does; what it finds is delivered to nobody. The use cases
and the sending worker on a real database, with a desk that writes down what it is to show."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import Deliverer
from messenger.app.effects.thread import ShowFiles, ShowFilesLater
from messenger.app.hands import Hands, Organisation
from messenger.app.inspection.inspector import Inspector
from messenger.app.items import StaffRedacted, StaffSaid
from messenger.app.records import File, Place, Said
from messenger.channels.messages import (
    ChannelAccountId,
    Content,
    Handle,
    InboundMessage,
    MediaRef,
    MessageDeleted,
    MessageEdited,
    OutboundMessage,
    RemoteId,
    Sent,
)
from messenger.channels.testing import FakeBridge, FakePeer
from messenger.domain.attachment import MAX_BYTES
from messenger.domain.people import DevicePolicy
from messenger.domain.replies import Fate
from messenger.observability.time import utc_now
from messenger.scanner import Clamd
from messenger.storage import leases
from messenger.storage.models.audit import audit
from messenger.storage.models.queues import outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.outbox import OutboxWorker
from messenger.workers.supervise import Wake
from tests.integration.staff_desk import CARD, CHAT, CUSTOMER, DESK, ROOM, StaffDesk, customer_says, staff_reacts
from tests.support.fake_clamd import VIRUS, FakeClamd, fake_clamd
from tests.support.file_makers import eicar, picture

BEN = "@ben:x"
FILES = {"photo": ("photo.png", "image/png", picture("PNG")), "eicar": ("note.txt", "text/plain", eicar())}


@dataclass
class Board:
    """The staff's side: what stands there, by event, in order. A repeat under one transaction shows nothing new."""

    account: str = DESK
    shown: dict[str, Said] = field(default_factory=dict)
    by_txn: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def link(self, place: Place) -> str:
        return "https://x"

    async def provide_room(self, group: object) -> str:
        return ROOM

    async def post(self, place: Place, said: Said, *, txn: str, policy: object) -> str:
        if txn not in self.by_txn:
            self.by_txn[txn] = CARD if not self.shown else f"$shown{next(self.numbers)}"
            self.shown[self.by_txn[txn]] = said
        return self.by_txn[txn]

    async def edit(self, place: Place, event: str, said: Said, *, txn: str, policy: object) -> str:
        self.shown[event] = said
        return f"$edit{txn}"

    async def take_back(self, room: str, event: str, *, txn: str) -> None:
        del self.shown[event]

    async def set_reactions(self, room: str, event: str, now: frozenset[str], **_: object) -> None: ...

    async def react(self, room: str, event: str, key: str, *, txn: str) -> str:
        return f"$reaction{txn}"

    async def seat(self, room: str, address: str, *, policy: DevicePolicy) -> None: ...

    async def redact(self, room: str, event: str, *, txn: str) -> None: ...

    async def find(self, room: str, txn: str) -> str | None:
        return self.by_txn.get(txn)

    def lines(self, words: str) -> list[Said]:
        return [said for said in self.shown.values() if words in said.plain]

    def files(self) -> list[str]:
        return [said.file.name for said in self.shown.values() if said.file]


class Chat(FakeBridge):
    """The customer's side, with the files that went there."""

    def __init__(self, peer: FakePeer) -> None:
        super().__init__(peer)
        self.files: list[str] = []

    async def send_file(self, message: OutboundMessage, file: File) -> Sent:
        sent = await self.send(message)
        self.files.append(file.name)
        return sent


class Source:
    async def fetch(self, ref: MediaRef, *, max_bytes: int) -> bytes:
        return FILES[ref.id][2]


class World:
    def __init__(self, desk: StaffDesk, queue: SqlOutboxQueue, scanner: Clamd, clamd: FakeClamd) -> None:
        self.desk, self.clamd, self.board = desk, clamd, Board()
        self.peer = FakePeer()
        self.chat, self.inspector = Chat(self.peer), Inspector(max_bytes=MAX_BYTES)
        hands = Hands(
            units=desk.units,
            desk=cast(Any, self.board),
            channel=cast(Any, self.chat),
            door=cast(Any, None),
            files=Source(),
            organisation=Organisation(name="Linden Health"),
            inspector=self.inspector,
            scanner=scanner,
        )
        self._worker = OutboxWorker(queue, Deliverer(hands), device="D", wake=Wake(0.01), after=Wake(0.01))

    async def happens(self, *items: object) -> None:
        """Each item, and all that follows from it and need not wait."""
        for item in items:
            await self.desk.put(cast(Any, item))
            await self.go_on()

    async def go_on(self, *, with_waiting: bool = False) -> None:
        await self.desk.work(1)
        while await self._make_due(with_waiting=with_waiting):
            with_waiting = False
            await self._worker.step()
            await self._worker.drain()
            await self.desk.work(1)

    async def scanner_comes_back(self) -> None:
        self.clamd.mood = "well"
        await self.go_on(with_waiting=True)

    async def _make_due(self, *, with_waiting: bool) -> int:
        fresh = outbox.c.state == "new" if with_waiting else sa.and_(outbox.c.state == "new", outbox.c.attempts == 0)
        async with self.desk.engine.begin() as connection:
            return (await connection.execute(outbox.update().where(fresh).values(next_at=sa.func.now()))).rowcount

    async def waits(self) -> list[str]:
        async with self.desk.engine.begin() as connection:
            query = sa.select(outbox.c.kind).where(outbox.c.state == "new").order_by(outbox.c.id)
            return list(await connection.scalars(query))

    async def held_back(self) -> list[tuple[str, str]]:
        """(why, whose) of the audit log."""
        async with self.desk.engine.begin() as connection:
            rows = await connection.execute(sa.select(audit).where(audit.c.action == "file.hold_back"))
            return [(row.reason, json.loads(row.details)["side"]) for row in rows]

    async def fate(self, event: str) -> Fate | None:
        async with self.desk.units() as unit:
            trace = await unit.messages.find_trace(DESK, event)
            assert trace is not None and trace.message is not None
            return (await unit.messages.get(trace.message)).fate

    def customer_has(self) -> list[str]:
        return [each.text for each in self.peer.delivered if not each.deleted]


@pytest.fixture
async def world(database: AsyncEngine, socket_folder: Path) -> AsyncIterator[World]:
    async with a_world(database, socket_folder) as world:
        yield world


@asynccontextmanager
async def a_world(database: AsyncEngine, socket_folder: Path) -> AsyncIterator[World]:
    """Ben has a conversation in hand."""
    desk = StaffDesk(database)
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease)
    settling = asyncio.create_task(_settle_for_ever(queue))
    async with fake_clamd(str(socket_folder / "clamd.sock")) as clamd:
        scanner = Clamd(str(socket_folder / "clamd.sock"), peace_s=0)
        world = World(desk, queue, scanner, clamd)
        await desk.set_up([BEN])
        await world.go_on(with_waiting=True)
        await world.happens(staff_reacts(BEN, "👀"))
        assert not await world.waits()
        yield world
        await world.inspector.close()
    settling.cancel()


async def _settle_for_ever(queue: SqlOutboxQueue) -> None:
    while True:
        await queue.step()


def media(file: str) -> Sequence[MediaRef]:
    name, mime, _ = FILES[file]
    return (MediaRef(id=file, mime=mime, filename=name),)


def customer_sends(file: str, caption: str = "", *, event: str = "$file") -> InboundMessage:
    return replace(customer_says(event, caption), content=Content(text=caption, media=media(file)))


def ben_sends(file: str, caption: str = "", *, event: str = "$bens") -> StaffSaid:
    return StaffSaid(
        account=DESK,
        room=ROOM,
        thread=CARD,
        event=event,
        sender=BEN,
        at=utc_now(),
        type="m.file",
        content=Content(text=caption, media=media(file)),
    )


def customer_edits(file: str, caption: str) -> MessageEdited:
    return MessageEdited(
        account=ChannelAccountId(DESK),
        source_id="$edit",
        at=utc_now(),
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId("$file"),
        content=Content(text=caption, media=media(file)),
        hints=(CHAT,),
    )


async def test_a_customers_file_waits_and_no_word_does(world: World) -> None:
    world.clamd.mood = "cut"
    await world.happens(customer_sends("photo", "look at this"), customer_says("$next", "and please call me"))
    assert world.board.lines("look at this") and world.board.lines("and please call me")
    assert world.board.lines("photo.png from Anna is being checked") and not world.board.files()
    assert await world.waits() == ["RelayFile"]
    await world.scanner_comes_back()
    assert world.board.files() == ["photo.png"] and not await world.waits()
    [shown] = world.board.lines("[photo photo.png")
    assert "scanned: clean" in shown.plain and "look at this" not in shown.plain
    assert shown.reply_to is not None and "look at this" in world.board.shown[shown.reply_to].plain


async def test_a_file_without_words_comes_as_it_would_have_come(world: World) -> None:
    world.clamd.mood = "garbage"
    await world.happens(customer_sends("photo"))
    assert len(world.board.lines("being checked")) == 1
    await world.go_on(with_waiting=True)
    assert not world.board.files() and await world.waits() == ["RelayFile"]
    await world.scanner_comes_back()
    assert world.board.files() == ["photo.png"]


@pytest.mark.parametrize("was_away", [False, True])
async def test_what_the_scanner_finds_in_a_customers_file_is_shown_to_nobody(world: World, was_away: bool) -> None:
    world.clamd.mood = "cut" if was_away else "well"
    await world.happens(customer_sends("eicar", "my letter"))
    await world.scanner_comes_back()
    assert not world.board.files() and world.board.lines("my letter")
    assert world.board.lines(f"note.txt from Anna is held back: a virus was found ({VIRUS})")
    assert [text for text in world.customer_has() if "could not accept note.txt: a virus was found" in text]
    assert world.board.lines("A virus was found in a file of the customer of K-")
    assert await world.held_back() == [("virus", "customer")]


async def test_an_agents_file_waits_and_its_words_do_not(world: World) -> None:
    world.clamd.mood = "cut"
    await world.happens(ben_sends("photo", "your receipt"), customer_says("$next", "thank you"))
    assert any("your receipt" in text for text in world.customer_has()) and not world.chat.files
    assert world.board.lines("Your file photo.png is being checked")
    assert await world.fate("$bens") not in (Fate.DELIVERED, Fate.FAILED)
    await world.scanner_comes_back()
    assert world.chat.files == ["photo.png"]
    assert sum("your receipt" in text for text in world.customer_has()) == 1
    assert await world.fate("$bens") == Fate.DELIVERED


@pytest.mark.parametrize("was_away", [False, True])
async def test_what_the_scanner_finds_in_an_agents_file_is_sent_to_nobody(world: World, was_away: bool) -> None:
    world.clamd.mood = "cut" if was_away else "well"
    before = len(world.customer_has())
    await world.happens(ben_sends("eicar"))
    await world.scanner_comes_back()
    assert not world.chat.files and len(world.customer_has()) == before
    assert world.board.lines("a virus was found in your file") and await world.fate("$bens") == Fate.FAILED
    assert world.board.lines("A virus was found in a file of a colleague in K-")
    assert await world.held_back() == [("virus", "staff")]


async def test_a_file_that_its_author_takes_back_while_it_waits_is_not_sent(world: World) -> None:
    world.clamd.mood = "cut"
    await world.happens(ben_sends("photo"))
    gone = StaffRedacted(account=DESK, room=ROOM, event="$redaction", target="$bens", sender=BEN, at=utc_now())
    await world.happens(gone)
    await world.scanner_comes_back()
    assert not world.chat.files and not await world.waits()


async def test_a_file_that_the_customer_takes_back_while_it_waits_is_not_shown(world: World) -> None:
    world.clamd.mood = "cut"
    await world.happens(customer_sends("photo", "oh, the wrong one"))
    gone = MessageDeleted(
        account=ChannelAccountId(DESK),
        source_id="$gone",
        at=utc_now(),
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId("$file"),
    )
    await world.happens(gone)
    assert not world.board.lines("oh, the wrong one")
    await world.scanner_comes_back()
    assert not world.board.files() and not await world.waits()


@pytest.mark.parametrize("is_before", [True, False])
async def test_words_change_where_they_went_ahead_of_their_file(world: World, is_before: bool) -> None:
    world.clamd.mood = "cut"
    await world.happens(customer_sends("photo", "first words"))
    if is_before:
        await world.happens(customer_edits("photo", "other words"))
    await world.scanner_comes_back()
    if not is_before:
        await world.happens(customer_edits("photo", "other words"))
    assert not world.board.lines("first words") and len(world.board.lines("other words")) == 1
    assert world.board.files() == ["photo.png"] and not await world.waits()


async def test_a_scanner_that_takes_no_file_of_this_size_holds_it_back(world: World) -> None:
    world.clamd.mood = "small"
    FILES["large"] = ("large.png", "image/png", picture("PNG") + bytes(5000))
    await world.happens(customer_sends("large"))
    assert world.board.lines("could not be checked for viruses") and not world.board.files()
    assert await world.held_back() == [("unchecked", "customer")]


async def test_what_bursts_in_the_scanner_is_a_bomb(world: World) -> None:
    world.clamd.mood = "heuristic"
    await world.happens(customer_sends("photo"))
    assert world.board.lines("unpacked it would be far too large") and not world.board.files()


async def show_files(world: World, *, sent_as: str = "") -> None:
    """As for a colleague who comes in, or those of them that had to wait under the row `sent_as`."""
    [id] = await world.desk.conversations()
    effect = ShowFilesLater(conversation=id, sent_as=sent_as) if sent_as else ShowFiles(conversation=id)
    async with world.desk.units() as unit:
        await unit.outbox.put(f"files {sent_as}", [effect])
    await world.go_on()


@pytest.mark.parametrize("file", ["photo", "other"])
async def test_what_is_changed_while_files_wait_to_be_shown_again_is_shown_as_it_is_then(
    world: World, file: str
) -> None:
    """Its words. Another file in an edit is none: a file stays what it was sent as."""
    FILES["other"] = ("other.png", "image/png", picture("PNG", (50, 20)))
    await world.happens(customer_sends("photo", "first words"))
    before = set(world.board.shown)
    world.clamd.mood = "cut"
    await show_files(world)
    assert await world.waits() == ["ShowFilesLater"] and set(world.board.shown) == before
    await world.happens(customer_edits(file, "other words"))
    await world.scanner_comes_back()
    again = [said for event, said in world.board.shown.items() if event not in before and said.file]
    assert [said.file.name for said in again if said.file] == ["photo.png"]
    assert "other words" in again[0].plain and "first words" not in again[0].plain
    assert "scanned: clean" in again[0].plain and not await world.waits()


async def test_of_files_that_wait_none_is_missed_or_doubled_when_another_is_taken_back_meanwhile(world: World) -> None:
    for name in ("second", "third"):
        FILES[name] = (f"{name}.png", "image/png", picture("PNG", (30, 30)))
    await world.happens(customer_sends("photo"), customer_sends("second", event="$second"))
    await show_files(world)
    [row] = [txn for txn, event in world.board.by_txn.items() if event == list(world.board.shown)[-2]]
    gone = MessageDeleted(
        account=ChannelAccountId(DESK),
        source_id="$gone",
        at=utc_now(),
        sender=Handle(kind="mxid", value=CUSTOMER),
        target=RemoteId("$file"),
    )
    await world.happens(gone, customer_sends("third", event="$third"))
    before = world.board.files()
    await show_files(world, sent_as=row[:33])
    assert world.board.files() == [*before, "third.png"]
