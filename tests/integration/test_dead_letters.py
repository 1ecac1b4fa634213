"""What is given up is not given up quietly: the thread says so in red, the list says what and why, and a person
decides. An answer keeps its lane until then."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app import render
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import SendToCustomer
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.places import PostCard
from messenger.app.effects.thread import PostNotice, RelayToThread
from messenger.app.items import DeskOut
from messenger.app.outcome import Outcome, ended
from messenger.channels.errors import Rejected
from messenger.domain.ids import ConversationId
from messenger.domain.replies import Fate
from messenger.i18n import texts
from messenger.observability.time import utc_now
from messenger.queries.audit import rows as audit_rows
from messenger.queries.dead_letters import DeadLetterRow, dead_letters, undecided_dead_letters
from messenger.storage import leases
from messenger.storage.administration import NotPossible
from messenger.storage.dead_letters import DeadLetters
from messenger.storage.inbox_queue import SqlInboxQueue
from messenger.storage.models.conversations import conversation, place
from messenger.storage.models.queues import dead_letter, inbox, outbox
from messenger.storage.outbox_queue import SqlOutboxQueue
from messenger.workers.inbox import TRIES
from messenger.workers.outbox import OWN_TRIES, OutboxWorker
from messenger.workers.supervise import Wake
from tests.integration.staff_desk import CARD, DESK, ROOM, StaffDesk, customer_says, staff_reacts, staff_says

BEN = "@ben:x"
OPERATOR = "shell:0"


class Poisoned:
    """A deliverer with a defect: some effects raise; what it delivered is noted."""

    def __init__(self, is_poison: Callable[[Effect], bool], error: Exception | None = None) -> None:
        self.is_poison, self.error = is_poison, error or ZeroDivisionError()
        self.delivered: list[Effect] = []

    def without_patience(self) -> "Poisoned":
        return self

    async def deliver(self, effect: Effect, txn: str) -> Outcome:
        if self.is_poison(effect):
            raise self.error
        self.delivered.append(effect)
        return Outcome(items=[ended(effect, txn, "")] if isinstance(effect, SendToCustomer) else [])

    def of(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.delivered if isinstance(effect, kind)]


class Office(StaffDesk):
    """A desk with its outbox worker; `poison` says what this worker cannot do."""

    async def open(self) -> None:
        self.id = await self.set_up([BEN])
        lease = await leases.acquire(self.engine, f"desk:{DESK}", "test", timedelta(minutes=5))
        assert lease is not None
        self.queue = SqlOutboxQueue(self.engine, self.keys, desk=DESK, device="D", lease=lease)
        self.hands = Poisoned(lambda effect: False)
        self._worker = OutboxWorker(self.queue, self.hands, device="D", wake=Wake(0.01), after=Wake(0.01))  # type: ignore[arg-type]
        self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        while True:
            await self.queue.step()

    async def close(self) -> None:
        self._settling.cancel()
        await asyncio.gather(self._settling, return_exceptions=True)

    async def has_card(self) -> None:
        """What the delivery of the card leaves behind."""
        async with self.engine.begin() as connection:
            group = await connection.scalar(sa.select(conversation.c.group_id))
            row = {"conversation_id": self.id, "number": 1, "group_id": group, "room_id": ROOM, "card": CARD}
            await connection.execute(place.insert().values(**row))
            await connection.execute(conversation.update().values(card_room=ROOM, card_event=CARD))

    async def run(self) -> None:
        """Until nothing moves: pauses between tries are over at once."""
        for _ in range(3 * OWN_TRIES):
            await self._all_due()
            await self.work(1)
            await self._worker.step()
            await self._worker.drain()

    async def _all_due(self) -> None:
        async with self.engine.begin() as connection:
            for table in (inbox, outbox):
                past = sa.func.now() - timedelta(seconds=1)
                await connection.execute(table.update().where(table.c.state == "new").values(next_at=past))

    async def letters(self, *, decided: bool = False) -> list[DeadLetterRow]:
        return [*await dead_letters(self.engine, decided=decided)]

    async def retry(self, id: int) -> int:
        return (await DeadLetters(self.engine, self.keys).retry(id, by=OPERATOR, at=utc_now())).overtaken

    async def drop(self, id: int, reason: str = "seen") -> None:
        await DeadLetters(self.engine, self.keys).drop(id, reason, by=OPERATOR, at=utc_now())

    async def answers(self) -> list[str]:
        """The words of the answers that left, in their order."""
        async with self.units() as unit:
            sent = [await unit.messages.get(each.message) for each in self.hands.of(SendToCustomer)]  # type: ignore[attr-defined]
        return [message.content.text for message in sent]

    async def fate(self, text: str) -> Fate | None:
        async with self.units() as unit:
            messages = await unit.messages.latest(ConversationId(self.id), 20)
        return next(message.fate for message in messages if message.content.text == text)

    def notes(self) -> list[str]:
        return [effect.text for effect in self.hands.delivered if getattr(effect, "text", "").startswith("S34.")]

    async def one_poison_answer(self) -> int:
        """Ben writes two answers, of which the first meets the defect. Returns its letter."""
        await self.run()
        await self.has_card()
        await self.put(staff_reacts(BEN, "👀"))
        await self.run()
        self.hands.is_poison = lambda effect: isinstance(effect, SendToCustomer)
        await self.says(BEN, "first")
        await self.run()
        self.hands.is_poison = lambda effect: False
        await self.says(BEN, "second")
        await self.run()
        [letter] = await self.letters()
        return letter.id


@pytest.fixture
async def office(database: AsyncEngine) -> AsyncIterator[Office]:
    office = Office(database)
    await office.open()
    yield office
    await office.close()


async def test_an_answer_that_met_a_defect_keeps_its_lane_and_its_author_is_asked(office: Office) -> None:
    await office.one_poison_answer()
    [letter] = await office.letters()
    assert (letter.kind, letter.reason, letter.decision) == ("SendToCustomer", "ZeroDivisionError", "block_lane")
    assert letter.waiting == 1 and letter.ref is not None
    assert await office.answers() == [], "nothing overtakes it"
    [note] = [each for each in office.hands.of(PostNotice) if each.text == "S34.answer"]  # type: ignore[attr-defined]
    assert note.mention is not None  # type: ignore[attr-defined]
    assert await office.fate("first") is Fate.QUEUED, "nobody knows whether it arrived"


async def test_a_retried_answer_leaves_in_its_place(office: Office) -> None:
    letter = await office.one_poison_answer()
    assert await office.retry(letter) == 0
    await office.run()
    assert await office.answers() == ["first", "second"]
    assert (await office.fate("first"), await office.fate("second")) == (Fate.DELIVERED, Fate.DELIVERED)
    assert await office.letters() == []


async def test_a_retry_that_fails_again_asks_again(office: Office) -> None:
    letter = await office.one_poison_answer()
    office.hands.is_poison = lambda effect: isinstance(effect, SendToCustomer)
    await office.retry(letter)
    await office.run()
    assert [each.decision for each in await office.letters()] == ["block_lane"]
    assert office.notes() == ["S34.answer"] * 2


async def test_a_dropped_answer_is_told_as_not_sent_and_the_next_one_leaves(office: Office) -> None:
    letter = await office.one_poison_answer()
    await office.drop(letter, "the customer called")
    await office.run()
    assert await office.answers() == ["second"]
    assert await office.fate("first") is Fate.FAILED
    assert "S13.internal" in [each.text for each in office.hands.of(PostNotice)]  # type: ignore[attr-defined]


async def test_a_decision_is_stored_with_who_and_when_and_is_an_audit_row(office: Office) -> None:
    letter = await office.one_poison_answer()
    await office.drop(letter, "the customer called")
    [decided] = await office.letters(decided=True)
    assert (decided.verdict, decided.decided_by) == ("drop", OPERATOR) and decided.decided_at is not None
    [row] = await audit_rows(office.engine, action="deadletter")
    assert (row.actor, row.action, row.object) == (OPERATOR, "deadletter.drop", f"deadletter:{letter}")


@pytest.mark.parametrize("verdict", ["retry", "drop"])
async def test_nobody_decides_twice(office: Office, verdict: str) -> None:
    letter = await office.one_poison_answer()
    await office.drop(letter)
    with pytest.raises(NotPossible, match="decided already"):
        await (office.retry(letter) if verdict == "retry" else office.drop(letter))
    with pytest.raises(NotPossible, match="there is no dead letter"):
        await office.retry(999)


async def test_a_customers_message_steps_aside_and_the_thread_says_what_is_missing(office: Office) -> None:
    await office.run()
    await office.has_card()
    office.hands.is_poison = lambda effect: isinstance(effect, RelayToThread)
    await office.put(customer_says("$poison", "secret words"))
    await office.run()
    office.hands.is_poison = lambda effect: False
    await office.put(customer_says("$next", "more"))
    await office.run()
    [letter] = await office.letters()
    assert (letter.queue, letter.kind, letter.decision) == ("outbox", "RelayToThread", "skip_and_mark")
    assert office.notes() == ["S34.customers"]
    assert "secret" not in str(letter)
    assert await office.retry(letter.id) >= 1, "says that others have gone ahead"
    before = len(office.hands.of(RelayToThread))
    await office.run()
    assert len(office.hands.of(RelayToThread)) == before + 1


async def test_a_card_that_cannot_be_posted_is_told_in_the_groups_room(office: Office) -> None:
    office.hands.is_poison = lambda effect: isinstance(effect, PostCard)
    office.hands.error = Rejected("blocked")
    await office.run()
    assert office.notes() == ["S34.card"]
    assert len(office.hands.of(TellGroup)) == 1


async def test_a_note_about_a_dead_letter_makes_none_of_its_own(office: Office) -> None:
    await office.run()
    await office.has_card()
    office.hands.is_poison = lambda effect: isinstance(effect, RelayToThread | PostNotice)
    await office.put(customer_says("$poison", "x"))
    await office.run()
    await office.run()
    assert [each.kind for each in await office.letters()] == ["RelayToThread", "PostNotice"]
    assert office.notes() == []


async def test_what_cannot_be_taken_in_is_told_where_it_belongs_and_can_be_tried_again(office: Office) -> None:
    await office.run()
    await office.has_card()
    await office.put(customer_says("$poison", "x"), lane="!chat")
    await give_up_head(office)
    await office.work(1)
    await office.put(staff_says(BEN, "x"), lane=f"{ROOM}|{CARD}")
    await give_up_head(office)
    await office.run()
    assert office.notes() == ["S34.customers", "S34.staffs"]
    customers, staffs = await office.letters()
    assert (customers.queue, customers.kind, staffs.kind) == ("inbox", "InboundMessage", "StaffSaid")
    relayed = len(office.hands.of(RelayToThread))
    await office.retry(customers.id)
    await office.drop(staffs.id)
    await office.run()
    assert len(office.hands.of(RelayToThread)) == relayed + 1
    assert await undecided_dead_letters(office.engine) == 0
    async with office.engine.begin() as connection:
        query = sa.select(inbox.c.enc_body).where(inbox.c.kind == "StaffSaid")
        assert set(await connection.scalars(query)) == {b""}, "what was dropped has lost its words"


async def test_rows_that_do_not_open_are_told_too(office: Office) -> None:
    await office.run()
    await office.has_card()
    await office.put(customer_says("$broken", "x"), lane="!chat")
    async with office.engine.begin() as connection:
        await connection.execute(inbox.update().where(inbox.c.state == "new").values(enc_body=b"broken"))
    await office.run()
    assert office.notes() == ["S34.customers"]


async def test_an_event_that_could_not_be_read_is_listed_and_can_only_be_dropped(office: Office) -> None:
    async with office.engine.begin() as connection:
        raw = {"queue": f"sync:{DESK}", "row_id": 0, "reason": "KeyError", "enc_raw": b"sealed", "source_id": "$odd"}
        await connection.execute(dead_letter.insert().values(**raw))
    [letter] = await office.letters()
    assert (letter.queue, letter.kind) == ("sync", None)
    with pytest.raises(NotPossible, match="no place to go back to"):
        await office.retry(letter.id)
    await office.drop(letter.id)
    assert await office.letters() == []


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_the_note_is_red_and_says_what_to_do(language: str) -> None:
    words = texts(language)
    for kind in ("answer", "customers", "staffs", "told", "desks", "card", "first"):
        note = render.notice(words, f"S34.{kind}", clock=None, label="Anna", ref="K-4F7Q")
        assert note.plain.startswith("⛔ ") and "stellwerk deadletter list" in note.plain
        assert note.html.startswith("⛔ <b>"), "red in every client, and bold"


async def give_up_head(office: Office) -> None:
    """The head row fails as often as it may."""
    for _ in range(TRIES):
        await office._all_due()
        async with office.units() as unit:
            row = await unit.inbox.claim()
        assert row is not None
        await SqlInboxQueue(office.engine, office.keys).give_back(row, "OurMistake", tries=TRIES)


async def test_the_thread_says_when_the_desk_is_no_longer_in_the_customers_room(office: Office) -> None:
    await office.run()
    await office.has_card()
    await office.put(DeskOut(account=DESK, room="!chat"))
    await office.run()
    assert "S35.chat" in [each.text for each in office.hands.of(PostNotice)]  # type: ignore[attr-defined]
