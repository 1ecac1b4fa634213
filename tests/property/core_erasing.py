"""Customers are erased while everything else goes on: the product's own steps, on a played homeserver and a played
ledger. What must hold when it is done is in core_erased.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.erasure_ports import BackupLife, Ended, ErasureHands, Found, NotNow, Target
from messenger.storage import erasures
from messenger.storage.data_keys import DataKeys
from messenger.storage.erasures import SqlErasureQueue, SqlErasureRows
from messenger.storage.keyring import Keyring
from messenger.storage.models.conversations import channel_identity, conversation, message
from messenger.storage.models.crypto import mx_megolm
from messenger.workers.erasure import ErasureWorker
from tests.integration.staff_desk import DESK
from tests.property.core_outside import Chats, Rooms


@dataclass(slots=True)
class Ledger:
    """The file, as far as one person's entry is made once. It outlives the process."""

    entries: dict[str, int] = field(default_factory=dict)

    def add(self, subject: str, scope: str, at: object) -> Any:
        position = self.entries.setdefault(subject, len(self.entries) + 1)
        return Entry(position)


@dataclass(frozen=True, slots=True)
class Entry:
    position: int


class Signer:
    public = "public"

    def sign(self, kind: str, body: object) -> str:
        return "signed"


@dataclass(slots=True)
class Erased:
    """Somebody who is to be erased: where they wrote, what of their words the database held then, and the first of what
    was delivered to them."""

    letter: str
    room: str
    contact: UUID
    id: UUID
    copies: Sequence[Any]
    delivered_from: int
    delivered_to: int | None = None  # they have come back: what is delivered from here on is another life's


@dataclass(slots=True)
class Cleaning:
    """`ErasureRooms` on the played homeserver. What was found must have been removed; `places` are the rooms and
    threads that were looked through, with room and thread root."""

    rooms: Rooms
    chats: Chats
    ledger: Ledger = field(default_factory=Ledger)
    found: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    places: set[tuple[str, str | None]] = field(default_factory=set)
    engine: AsyncEngine | None = None

    def _calls(self) -> None:
        self.rooms.server.line.out(lambda: NotNow("homeserver", seconds=0))

    def _answers(self) -> None:
        self.rooms.server.line.back(lambda: NotNow("homeserver", seconds=0))

    async def look(self, target: Target) -> Found:
        self._calls()
        thread = target.subject if target.kind == "thread" else None
        if thread is not None and not thread.startswith("$"):
            thread = self.rooms.sent_as(thread) or ""
        self.places.add((target.room, thread))
        events = [*self._said(target.room, thread), *self._posted(target.room, thread), *self._sent(target.room)]
        self.found.update(events)
        self._answers()
        return Found(events=events)

    def _said(self, room: str, thread: str | None) -> list[str]:
        """With a thread what stands in it, and the changes of that."""
        events = [event for _, event in self.rooms.server.rooms[room].events if "state_key" not in event]
        if thread is None:
            return [event["event_id"] for event in events]
        there: list[str] = []
        for event in events:
            relation = event.get("content", {}).get("m.relates_to", {})
            if relation.get("event_id") in (thread, *there):
                there.append(event["event_id"])
        return there

    def _posted(self, room: str, thread: str | None) -> list[str]:
        return [
            post.event
            for post in self.rooms.posts
            if post.place.room == room and (thread is None or thread in (post.place.thread, post.event))
        ]

    def _sent(self, room: str) -> list[str]:
        chats = self.rooms.server.rooms[room].inviter
        return [each.remote_id for each in self.chats.peer.delivered if each.to == chats]

    async def redact(self, target: Target) -> Ended:
        self._calls()
        self.removed.add(target.subject)
        for post in self.rooms.posts:
            if post.event == target.subject:
                post.is_gone = True
        self._answers()
        return Ended(target=target, fate="done")

    async def remove_media(self, target: Target) -> Ended:
        self._calls()
        return Ended(target=target, fate="done")

    async def forget_keys(self, rooms: Sequence[str], people: Sequence[str]) -> None:
        self._calls()
        assert self.engine is not None
        async with self.engine.begin() as connection:
            await connection.execute(mx_megolm.delete().where(mx_megolm.c.room_id.in_(rooms)))

    async def leave(self, room: str) -> None:
        self._calls()
        self.rooms.server.leave(room)
        self._answers()


def eraser(engine: AsyncEngine, keys: DataKeys, cleaning: Cleaning, *, namespace: UUID) -> ErasureWorker:
    """One process's."""
    cleaning.engine = engine
    hands = ErasureHands(
        rows=SqlErasureRows(engine, keys, namespace=namespace, desk=DESK),
        rooms=cleaning,
        keyring=Keyring(keys),
        ledger=cleaning.ledger,
        signer=Signer(),
        backups=BackupLife(main_days=1, key_days=1),
        installation="house",
    )
    return ErasureWorker(SqlErasureQueue(engine), hands)


async def order(engine: AsyncEngine, letter: str, address: str, *, room: str, delivered_from: int) -> Erased | None:
    """None: this database does not know them."""
    who = sa.select(channel_identity.c.contact_id).where(channel_identity.c.value == address)
    async with engine.begin() as connection:
        contact = await connection.scalar(who)
        theirs = sa.select(conversation.c.id).where(conversation.c.contact_id == contact)
        copies = (await connection.execute(sa.select(message).where(message.c.conversation_id.in_(theirs)))).all()
    if contact is None:
        return None
    id = await erasures.order(engine, scope="person", ordered_by="dora", subject=f"s-{contact}", contact=contact)
    return Erased(letter, room, contact, id, copies, delivered_from)
