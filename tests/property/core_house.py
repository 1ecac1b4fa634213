"""Two groups and two customers around the core, and what they say and do. What must hold then is in core_books.py.

Every text holds a token of its own: `a7` is the seventh, by the customer with that letter; `r7a` an answer to them,
`n7a` a note about them."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.inspection.inspector import Inspector
from messenger.app.records import PlaceRow
from messenger.channels.testing import FakePeer
from messenger.domain import events as e
from messenger.domain.attachment import MAX_BYTES
from messenger.domain.conversation import Conversation, State
from messenger.domain.events import Recorded
from messenger.domain.ids import ConversationId
from messenger.domain.routing.availability import Availability
from messenger.storage.encryption import Key
from messenger.storage.models.conversations import conversation
from messenger.storage.models.queues import inbox, outbox
from messenger.storage.models.rights import erasure
from tests.integration.staff_desk import StaffDesk
from tests.property.core_erasing import Cleaning, Erased, order
from tests.property.core_outside import Chats, Files, Line, Rooms, Server
from tests.property.core_program import NAMESPACE, Lines, Outside, Program, Reaper
from tests.property.core_seats import STAFF, Seats
from tests.support.keyring import keys_of
from tests.support.moved_time import becomes_older

CUSTOMERS = {"a": "@anna:x", "b": "@bodo:x"}
_TOKEN = re.compile(r"\b(?:[ab]\d+|[rnx]\d+[ab])\b")
MOST_ROUNDS = 300
PLAIN = "{token} of course"


@dataclass(slots=True)
class Word:
    """Something that was said; `event` is its id in its room, `chat` the customer's room that it is about."""

    token: str
    event: str
    room: str
    author: str
    is_changed: bool = False
    is_late: bool = False
    must_leave: bool = False
    session: str = ""
    chat: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A conversation as it is now, with its history, its places and its messages."""

    now: Conversation
    log: Sequence[Recorded]
    places: Sequence[PlaceRow]
    owner: str | None
    group: str
    customer: str
    chat: str

    def events(self, kind: type[e.Event]) -> Iterator[Any]:
        return (entry.event for entry in self.log if isinstance(entry.event, kind))


class House:
    def __init__(self, engine: AsyncEngine, lines: Lines, root: Key, reaper: Reaper) -> None:
        """`engine` is ours, `lines` are the program's; both lead to this house's database."""
        self.engine, self.lines, self.root, self.reaper = engine, lines, root, reaper
        self.line = Line(step=reaper.step)
        self.server = Server(self.line)
        self.rooms, self.chats = Rooms(self.server), Chats(FakePeer(), self.line)
        self.customers_said: list[Word] = []
        self.staff_said: list[Word] = []
        self.cleaning = Cleaning(self.rooms, self.chats)
        self.inspector = Inspector(max_bytes=MAX_BYTES)
        self.seats = Seats()
        self.erased: list[Erased] = []
        self.is_untouched = True  # nothing is on its way
        self._numbers = itertools.count(1)
        self.look()

    def look(self) -> None:
        """With fresh eyes: keys are read anew."""
        self.desk = StaffDesk(self.engine, keys=keys_of(self.engine, self.root), namespace=NAMESPACE)

    async def open(self, *, layout: str, assignment: str, hold_s: int, mode: str) -> None:
        for group, seats in self.seats.now.items():
            settings = {"desk_layout": layout, "assignment": assignment, "hold_seconds": hold_s}
            settings["reply_mode"] = mode if group == "Claims" else "owner"
            await self.desk.add_group(group, is_default=group == "Claims", **settings)
            for address, role in seats.items():
                await self.desk.add_member(group, address, role)
        for address in STAFF:
            await self.desk._change.set_status(address, Availability.AVAILABLE, "")
        await self.begin()
        await self.rest()

    # The process

    async def begin(self, *, device: str = "") -> None:
        """With another device what the last one tried must be looked for."""
        device = device or self.line.device or "D"
        outside = Outside(self.rooms, self.chats, Files(self.line), self.cleaning, self.inspector)
        self.program = Program(self.lines, self.root, outside, self.reaper, device=device)
        await self.program.start()

    async def work(self) -> None:
        """A turn. Whoever died in it is followed by the next."""
        if not await self.program.work():
            await self.begin()

    async def restart(self, *, device: str) -> None:
        await self.program.stop()
        await self.begin(device=device)

    async def close(self) -> None:
        await self.program.stop()
        await self.inspector.close()
        await self.engine.dispose()

    async def rest(self) -> None:
        """Nothing breaks any more, and whatever waits for its time is due, until all that can be done is done."""
        self.reaper.left = self.line.away = self.line.deaf = 0
        for _ in range(MOST_ROUNDS):
            await self.work()
            if not await self._is_busy():
                break
            await self._hurry()
        else:
            raise AssertionError(f"it does not come to rest: {await self._busy_with()}")
        self.is_untouched = True
        self.seats.all_is_read()

    async def _is_busy(self) -> bool:
        if self.server.position and not await self._has_read_all():
            return True
        return bool(await self._busy_with())

    async def _has_read_all(self) -> bool:
        async with self.engine.begin() as connection:
            token = await connection.scalar(sa.text("SELECT token FROM cursor"))
        return token == str(self.server.position)

    async def _busy_with(self) -> list[str]:
        async with self.engine.begin() as connection:
            rows = await connection.execute(sa.select(inbox.c.kind).where(inbox.c.state == "new"))
            effects = await connection.execute(
                sa.select(outbox.c.kind).where(outbox.c.state.in_(("new", "claimed", "unknown")))
            )
            steps = await connection.scalars(sa.select(erasure.c.step).where(erasure.c.done_at.is_(None)))
            return [row.kind for row in rows] + [row.kind for row in effects] + [*steps]

    async def _hurry(self) -> None:
        """What has not been tried yet keeps its time where it is told to hold: only that passes."""
        async with self.engine.begin() as connection:
            waits = inbox.c.state.in_(("new", "waiting_key"))  # the patience with a late key is over, too
            await connection.execute(inbox.update().where(waits).values(next_at=sa.func.now()))
            await connection.execute(outbox.update().where(outbox.c.state == "new").values(next_at=sa.func.now()))
            over = outbox.update().where(outbox.c.state == "claimed")
            await connection.execute(over.values(claimed_until=sa.func.now() - timedelta(seconds=1)))
            await connection.execute(erasure.update().values(next_at=sa.func.now()))

    async def passes(self, by: timedelta) -> None:
        await self.rest()
        await becomes_older(self.engine, by)
        self.is_untouched = False

    # What people do

    def new_token(self, letter: str, kind: str = "") -> str:
        number = next(self._numbers)
        return f"{kind}{number}{letter}" if kind else f"{letter}{number}"

    def customer_comes(self, letter: str) -> str:
        """Where the desk has gone out of their room they begin anew."""
        lives = len(self._lives(letter))
        room = _chat(letter, lives)
        if lives and self.server.rooms[_chat(letter, lives - 1)].joined_at is not None:
            room = _chat(letter, lives - 1)
        if room not in self.server.rooms:
            self.server.make_chat(room, CUSTOMERS[letter])
            for gone in self.erased:
                if gone.letter == letter and gone.delivered_to is None:
                    gone.delivered_to = len(self.chats.peer.delivered)
        return room

    def customer_says(self, letter: str, *, has_file: bool = False, is_key_late: bool = False) -> Word:
        room, token = self.customer_comes(letter), self.new_token(letter)
        session = f"s-{token}" if is_key_late else ""
        content: dict[str, Any] = {"msgtype": "m.text", "body": f"{token} hello"}
        if has_file:
            content = {"msgtype": "m.file", "body": f"{token} report", "filename": f"{token}.txt"}
            content |= {"file": {"url": "mxc://x/y"}, "info": {"mimetype": "text/plain"}}
        event = self.server.say(room, CUSTOMERS[letter], content, relation=None, session=session)
        # A lane stands still for a key for ten seconds by the database's clock, which nobody here stops.
        word = Word(token, event, room, CUSTOMERS[letter], session=session, is_late=bool(session), chat=room)
        self.customers_said.append(word)
        self.is_untouched = False
        return word

    def key_comes(self) -> None:
        for word in self.customers_said:
            if word.session and not self.is_erased(word):
                self.server.send_key(word.room, word.session)
                word.session = ""

    def customer_changes(self, which: int, *, deletes: bool) -> None:
        if not self.customers_said:
            return
        word = self.customers_said[which % len(self.customers_said)]
        if self.is_erased(word):
            return
        word.is_changed, self.is_untouched = True, False
        self._change(word, f"{word.token} hello again", deletes=deletes)

    def staff_changes(self, which: int, *, deletes: bool, to_note: bool) -> None:
        if not self.staff_said:
            return
        word = self.staff_said[which % len(self.staff_said)]
        if self.is_erased(word):
            return
        word.is_changed, word.must_leave, self.is_untouched = True, False, False
        better = self.new_token(word.token[-1], "x")
        self.seats.says(word.author, better)
        said = f"// {word.token} between us" if to_note else f"{word.token} {better}"
        self._change(word, said, deletes=deletes)

    def _change(self, word: Word, body: str, *, deletes: bool) -> None:
        if deletes:
            content = {"redacts": word.event}
            self.server.add(word.room, {"type": "m.room.redaction", "sender": word.author, "content": content})
            return
        content = {"msgtype": "m.text", "body": f"* {body}", "m.new_content": {"msgtype": "m.text", "body": body}}
        relation = {"rel_type": "m.replace", "event_id": word.event}
        self.server.say(word.room, word.author, content, relation=relation, session="")

    async def staff_says(self, author: str, which: int, text: str, *, kind: str = "") -> None:
        """At the newest place of some conversation. `kind`: `r` an answer, `n` a note; else a command."""
        there = [known for known in await self.known() if known.places and known.places[-1].card]
        if not there:
            return
        known = there[which % len(there)]
        place = known.places[-1]
        token = self.new_token(known.customer, kind) if kind else ""
        body = text.format(token=token)
        relation = None if place.is_room else {"rel_type": "m.thread", "event_id": place.card}
        content = {"msgtype": "m.text", "body": body}
        event = self.server.say(place.room, author, content, relation=relation, session="")
        if kind:
            word = Word(token, event, place.room, author, chat=known.chat)
            self.seats.says(author, token, group=known.group if self.is_untouched else None)
            # Nothing else happens in between, so the owner's plain words must get there.
            is_in_work = known.now.state in (State.OPEN, State.PAUSED)
            word.must_leave = text == PLAIN and self.is_untouched and is_in_work and known.owner == author
            word.must_leave &= self.seats.may_answer(author, known.group)
            self.staff_said.append(word)
        if text == "!undo":  # it may take back any answer that has not left yet
            for word in self.staff_said:
                word.must_leave = False
        self.is_untouched = False

    async def staff_reacts(self, author: str, which: int, key: str) -> None:
        there = [known for known in await self.known() if known.places and known.places[-1].card]
        if there:
            place = there[which % len(there)].places[-1]
            relation = {"rel_type": "m.annotation", "event_id": place.card, "key": key}
            event = {"type": "m.reaction", "sender": author, "content": {"m.relates_to": relation}}
            self.server.add(place.room, event)
            self.is_untouched = False

    async def seat_changes(self, group: str, person: str, role: str) -> None:
        for word in self.staff_said:  # what was said before is read after it
            word.must_leave &= self.is_untouched or word.author != person
        await self.seats.change(self.desk, group, person, role)
        self.is_untouched = False

    async def erase(self, letter: str) -> None:
        """Of two orders at once the second is the first."""
        room, since = (
            self.customer_comes(letter),
            max((gone.delivered_to or 0 for gone in self._lives(letter)), default=0),
        )
        gone = await order(self.engine, letter, CUSTOMERS[letter], room=room, delivered_from=since)
        if gone is None or gone.id in {known.id for known in self.erased}:
            return
        self.erased.append(gone)
        for word in self.staff_said:
            word.must_leave &= not self.is_erased(word)
        self.is_untouched = False

    def _lives(self, letter: str) -> list[Erased]:
        return [gone for gone in self.erased if gone.letter == letter]

    # The books

    def is_erased(self, word: Word) -> bool:
        return any(gone.room == word.chat for gone in self.erased)

    def is_known(self, letter: str) -> bool:
        """Have they come (back)?"""
        return _chat(letter, len(self._lives(letter))) in self.server.rooms

    def erased_tokens_in(self, text: str) -> list[str]:
        said = {word.token for word in [*self.customers_said, *self.staff_said] if self.is_erased(word)}
        return [token for token in _TOKEN.findall(text) if token in said]

    async def known(self) -> list[Known]:
        async with self.engine.begin() as connection:
            query = sa.select(conversation.c.id).where(conversation.c.blocked.is_(None))
            query = query.order_by(conversation.c.opened_at, conversation.c.id)
            ids = [ConversationId(id) for id in await connection.scalars(query)]
        return [await self._known(id) for id in ids]

    async def _known(self, id: ConversationId) -> Known:
        async with self.desk.units() as unit:
            now = await unit.conversations.lock(id)
            owner = (await unit.people.agent(now.owner)).address if now.owner else None
            group = (await unit.people.group(now.group)).name if now.group else ""
            chat = await unit.chats.get(now.chat)
            places, log = await unit.conversations.places(id), await unit.conversations.history(id)
        customer = next(letter for letter, address in CUSTOMERS.items() if address == chat.person.value)
        return Known(now=now, log=log, places=places, owner=owner, group=group, customer=customer, chat=chat.remote)


def _chat(letter: str, life: int) -> str:
    """Their room in this life; each erasure ends one."""
    return f"!chat-{letter}-{life}"
