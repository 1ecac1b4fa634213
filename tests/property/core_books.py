"""What must hold of all that was said in a house: always (`nothing_leaks`), and whenever all has come to rest
(`balance`). Both raise AssertionError."""

import re
from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from messenger.app.records import StoredMessage
from messenger.domain import events as e
from messenger.domain.conversation import State, fold
from messenger.domain.ids import MessageId
from messenger.storage.audit_verify import verify
from messenger.storage.models.queues import dead_letter, outbox, timer
from tests.property.core_house import CUSTOMERS, House, Known, Word

_CUSTOMERS = re.compile(r"\b([ab])\d+\b")
_ANSWERS, _NOTES = re.compile(r"\br\d+([ab])\b"), re.compile(r"\bn\d+[ab]\b")
_ANSWER = re.compile(r"\br\d+[ab]\b")


def nothing_leaks(house: House) -> None:
    """In whatever a customer has ever seen."""
    for person, text in house.chats.shown:
        assert not _NOTES.search(text), f"a note left: {text}"
        foreign = [letter for letter in _ANSWERS.findall(text) if CUSTOMERS[letter] != person]
        assert not foreign, f"to the wrong customer: {text}"
    late = house.seats.forbidden_in([text for _, text in house.chats.shown])
    assert not late, f"whoever said it may answer nowhere: {late}"
    times = Counter(token for each in house.chats.peer.delivered if (token := _token_of(each.text)))
    assert max(times.values(), default=1) == 1, f"sent twice: {times.most_common(1)}"


async def balance(house: House) -> None:
    house.look()
    conversations = await house.known()
    for known in conversations:
        assert fold(known.log) == known.now, "the log is not the state"
        _has_one_owner(house, known)
        await _keeps_its_timers(house, known)
        await _answers_are_there(house, known)
    _customers_are_heard(house, conversations)
    sent = {_token_of(each.text) for each in house.chats.peer.delivered}
    for word in house.staff_said:
        assert not word.must_leave or word.token in sent, f"the owner's words are lost: {word.token}"
    nothing_leaks(house)
    await _nothing_is_given_up(house)
    verdict = await verify(house.engine, house.desk.keys, [])
    assert verdict.is_whole, f"the audit chain is broken at row {verdict.first_bad}"


def _has_one_owner(house: House, known: Known) -> None:
    if known.now.state in (State.OPEN, State.PAUSED):
        assert known.owner is not None, "in work without an owner"
        assert house.seats.may_answer(known.owner, known.group), "the owner may not answer there"
    if known.now.state in (State.NEW, State.QUEUED):
        assert known.owner is None, "waiting, and somebody owns it"


async def _keeps_its_timers(house: House, known: Known) -> None:
    async with house.engine.begin() as connection:
        rows = (await connection.execute(sa.select(timer).where(timer.c.conversation_id == known.now.id))).all()
    pause = known.now.pause
    if pause is not None and pause.until is not None:
        assert any(row.kind == "wake" and row.due_at == pause.until for row in rows), "nothing will wake it"
    later = {row.subject for row in rows if row.kind == "later"}
    assert {str(message) for message in known.now.scheduled} <= later, "nothing will send it"


def _customers_are_heard(house: House, conversations: Sequence[Known]) -> None:
    """Each message of a customer stands in the threads of their conversations, once, in the order in which it was
    said."""
    where = {
        (place.room, None if place.is_room else place.card): known for known in conversations for place in known.places
    }
    shown: dict[str, list[str]] = {letter: [] for letter in CUSTOMERS}
    for post in house.rooms.posts:
        if post.now.profile is None or (post.place.room, post.place.thread) in house.cleaning.places:
            continue  # the desk's own words may quote them
        known = where.get((post.place.room, post.place.thread))
        assert known is not None, "a customer's words at no conversation's place"
        assert set(_CUSTOMERS.findall(post.now.plain)) <= {known.customer}, f"in a foreign thread: {post.now.plain}"
        shown[known.customer].append(post.versions[0].plain)
    for letter, address in CUSTOMERS.items():
        _once_each(
            [word for word in house.customers_said if word.author == address and not house.is_erased(word)],
            shown[letter],
        )


def _once_each(words: Sequence[Word], texts: Sequence[str]) -> None:
    """What was changed meanwhile may stand there in several forms; a late key makes a message late."""
    order = []
    for word in words:
        if word.is_changed or word.session:
            continue
        places = [n for n, text in enumerate(texts) if re.search(rf"\b{word.token}\b", text)]
        assert places, f"lost: {word.token}"
        assert len(places) == 1, f"shown {len(places)} times: {word.token}"
        order += [] if word.is_late else places
    assert order == sorted(order), f"not in order: {texts}"


async def _answers_are_there(house: House, known: Known) -> None:
    """What the log has accepted, and nobody took back, is at the customer's: in that order, in the words that are
    stored."""
    delivered = {token: each for each in house.chats.peer.delivered if (token := _token_of(each.text))}
    accepted = Counter(event.message for event in known.events(e.ReplyAccepted))
    accepted -= Counter(event.message for event in known.events(e.ReplyCancelled))
    places = []
    for message in [await _stored(house, id) for id in accepted]:
        token = _token_of(message.content.text)
        if message.is_deleted or not token:
            continue
        assert token in delivered, f"an answer is lost: {token}"
        there = delivered[token]
        assert there.to == CUSTOMERS[known.customer]
        assert message.content.text in there.text, f"{there.text!r} is not {message.content.text!r}"
        places.append([*delivered].index(token))
    assert places == sorted(places), "answers in another order"
    assert not known.now.on_their_way, "an answer's end was not heard"


async def _stored(house: House, id: MessageId) -> StoredMessage:
    async with house.desk.units.look() as unit:
        return await unit.messages.get(id)


async def _nothing_is_given_up(house: House) -> None:
    given_up = sa.select(outbox.c.kind, outbox.c.code).where(outbox.c.state.in_(("failed", "dead")))
    async with house.engine.begin() as connection:
        dead = (await connection.execute(sa.select(dead_letter.c.queue, dead_letter.c.reason))).all()
        failed = (await connection.execute(given_up)).all()
    assert not dead, f"dead letters: {dead}"
    assert not failed, f"given up: {failed}"


def _token_of(text: str) -> str:
    found = _ANSWER.search(text)
    return found.group() if found else ""
