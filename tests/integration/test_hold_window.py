"""An answer in its hold window is changed or taken back while the sender reaches for it: what leaves is what its author
wanted, or its change follows it; it is never both taken back and sent, and never lost. (NO-04)"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.effects.customer import AtCustomer, EditAtCustomer, SendToCustomer
from messenger.app.items import Item, StaffRedacted
from messenger.app.outcome import NOTHING
from messenger.app.records import OutboxRow
from messenger.domain import events as e
from messenger.domain.ids import MessageId
from messenger.domain.replies import Fate
from messenger.observability.time import utc_now
from messenger.storage import leases
from messenger.storage.outbox_queue import SqlOutboxQueue
from tests.integration.staff_desk import DESK, ROOM, StaffDesk, staff_says
from tests.support.moved_time import becomes_older

BEN = "@ben:x"
Taken = TypeVar("Taken")
ROUNDS = 24
HOLD = timedelta(seconds=5)


@pytest.fixture
async def desk(database: AsyncEngine) -> StaffDesk:
    desk = StaffDesk(database)
    await desk.set_up([BEN], hold_seconds=5)
    await desk.says(BEN, "!claim")
    await becomes_older(desk.engine, HOLD)  # the greeting waits, too
    return desk


@pytest.fixture
async def queues(desk: StaffDesk) -> list[SqlOutboxQueue]:
    """Two senders of the one desk."""
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(days=1))
    assert lease is not None
    return [SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease) for _ in range(2)]


async def send_all(queues: list[SqlOutboxQueue]) -> list[OutboxRow]:
    """Until nothing is due any more; returns the answers among them."""
    sent: list[OutboxRow] = []
    while rows := [row for queue in queues for row in await queue.claim(100)]:
        sent += [row for row in rows if isinstance(row.effect, SendToCustomer)]
        await settle(queues[0], rows)
    return sent


async def settle(queue: SqlOutboxQueue, rows: list[OutboxRow]) -> None:
    ending = [asyncio.create_task(queue.end(row, state="sent", outcome=NOTHING)) for row in rows]
    while not all(task.done() for task in ending):
        await queue.step()
        await asyncio.sleep(0)
    await asyncio.gather(*ending)


async def claimed(queues: list[SqlOutboxQueue]) -> list[OutboxRow]:
    found = await asyncio.gather(*(queue.claim(100) for queue in queues))
    return [row for rows in found for row in rows if isinstance(row.effect, SendToCustomer)]


def says(text: str, event: str, *, edits: str | None = None) -> Item:
    return replace(staff_says(BEN, text, event=event), at=utc_now(), edits=edits)


def redacts(target: str) -> Item:
    return StaffRedacted(account=DESK, room=ROOM, event=f"${uuid4().hex}", target=target, sender=BEN, at=utc_now())


async def events_of(desk: StaffDesk, message: MessageId) -> list[e.Event]:
    _, log = await desk.only_conversation()
    return [entry.event for entry in log if getattr(entry.event, "message", None) == message]


async def newest_answer(desk: StaffDesk) -> MessageId:
    _, log = await desk.only_conversation()
    return [entry.event for entry in log if isinstance(entry.event, e.ReplyAccepted)][-1].message


async def content_of(desk: StaffDesk, message: MessageId) -> tuple[str, Fate | None]:
    async with desk.units() as unit:
        stored = await unit.messages.get(message)
    return stored.content.text, stored.fate


async def test_nothing_leaves_before_the_window_is_over(desk: StaffDesk, queues: list[SqlOutboxQueue]) -> None:
    await send_all(queues)
    await desk.put(says("ready", "$answer"))
    await desk.work(1)
    assert await send_all(queues) == []
    await becomes_older(desk.engine, HOLD)
    assert len(await send_all(queues)) == 1


@pytest.mark.parametrize("change", ["redaction", "note", "command", "clerk's note"])
async def test_what_is_taken_back_in_the_window_never_leaves(
    desk: StaffDesk, queues: list[SqlOutboxQueue], change: str
) -> None:
    await send_all(queues)
    await desk.put(says("ready", "$answer"))
    await desk.work(1)
    words = {"note": "// she is my aunt", "command": "!note she is my aunt", "clerk's note": "！r // my aunt"}
    item = redacts("$answer") if change == "redaction" else says(words[change], "$edit", edits="$answer")
    await desk.put(item)
    await desk.work(1)
    await becomes_older(desk.engine, timedelta(days=1))
    assert await send_all(queues) == []
    state, _ = await desk.only_conversation()
    assert (await content_of(desk, await newest_answer(desk)))[1] is Fate.KEPT
    assert state.waiting_since is not None, "the customer waits again"


async def test_new_words_in_the_window_leave_instead_of_the_old(desk: StaffDesk, queues: list[SqlOutboxQueue]) -> None:
    await send_all(queues)
    await desk.put(says("raedy", "$answer"))
    await desk.work(1)
    await desk.put(says("ready", "$edit", edits="$answer"))
    await desk.work(1)
    await becomes_older(desk.engine, HOLD)
    [row] = await send_all(queues)
    assert isinstance(row.effect, SendToCustomer)
    assert (await content_of(desk, MessageId(row.effect.message)))[0] == "ready"
    assert not [each for each in await desk.effects() if isinstance(each, EditAtCustomer)]


async def test_a_redaction_and_two_senders_race_for_the_same_answer(
    desk: StaffDesk, queues: list[SqlOutboxQueue]
) -> None:
    """Each round ends in exactly one of two ways: cancelled and never claimed, or claimed and taken back there."""
    ways = {"cancelled": 0, "followed": 0}
    for number in range(ROUNDS):
        await send_all(queues)
        await desk.put(says(f"answer {number}", f"$answer{number}"))
        await desk.work(1)
        message = await newest_answer(desk)
        await becomes_older(desk.engine, HOLD)
        await desk.put(redacts(f"$answer{number}"))
        rows = await raced(number, partial(claimed, queues), desk)
        assert len(rows) <= 1, "two senders have taken one answer"
        kinds = {type(event) for event in await events_of(desk, message)}
        is_sent = bool(rows)
        assert (e.ReplyRecalled in kinds, e.ReplyCancelled in kinds) == (is_sent, not is_sent)
        ways["followed" if is_sent else "cancelled"] += 1
        await settle(queues[0], rows)
        assert await send_all(queues) == [], "nothing of it leaves afterwards"
    assert all(ways.values()), f"one of the ways was never met: {ways}"


async def raced(number: int, take: Callable[[], Awaitable[Taken]], desk: StaffDesk) -> Taken:
    """In every third round the senders come first, in every third the change does; else nobody knows."""
    match number % 3:
        case 0:
            taken = await take()
            await desk.work(1)
        case 1:
            await desk.work(1)
            taken = await take()
        case _:
            taken, _ = await asyncio.gather(take(), desk.work(1))
    return taken


async def test_an_edit_and_two_senders_race_for_the_same_answer(desk: StaffDesk, queues: list[SqlOutboxQueue]) -> None:
    """What leaves are the new words, or the old ones with the change behind them."""
    ways = {"changed": 0, "followed": 0}
    for number in range(ROUNDS):
        await send_all(queues)
        await desk.put(says(f"old {number}", f"$answer{number}"))
        await desk.work(1)
        message = await newest_answer(desk)
        await becomes_older(desk.engine, HOLD)
        await desk.put(says(f"new {number}", f"$edit{number}", edits=f"$answer{number}"))
        rows, words = await raced(number, partial(taken, desk, queues, message), desk)
        [edited] = [event for event in await events_of(desk, message) if isinstance(event, e.ReplyEdited)]
        assert edited.is_sent or words == f"new {number}" or not rows, "the old words left, and nothing follows them"
        ways["followed" if edited.is_sent else "changed"] += 1
        await settle(queues[0], rows)
        assert len(await send_all(queues)) == (0 if rows else 1), "it leaves once"
    assert all(ways.values()), f"one of the ways was never met: {ways}"


async def taken(desk: StaffDesk, queues: list[SqlOutboxQueue], message: MessageId) -> tuple[list[OutboxRow], str]:
    """What the senders took, and the words that they read then."""
    rows = await claimed(queues)
    return rows, (await content_of(desk, message))[0] if rows else ""


@pytest.mark.parametrize("change", ["edit", "redaction"])
async def test_what_was_changed_while_nobody_listened_leaves_changed_or_not_at_all(
    desk: StaffDesk, change: str
) -> None:
    """The window ends while the program is down, and the author has changed the answer before that."""
    await desk.put(says("Come at nnie", "$answer"))
    await desk.work(1)
    answer = await newest_answer(desk)
    await becomes_older(desk.engine, timedelta(hours=1))
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(days=1))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease, holds_answers=True)
    assert await send_all([queue]) == [], "the first sync may bring a change"
    changed = says("Come at nine", "$new", edits="$answer") if change == "edit" else redacts("$answer")
    await desk.put(changed)
    await queue.hear()
    assert await send_all([queue]) == [], "it has come, and is not handled yet"
    await desk.work(1)
    sent = await send_all([queue])
    text, fate = await content_of(desk, answer)
    if change == "edit":
        assert ([row.effect.message for row in sent], text) == ([answer], "Come at nine")  # type: ignore[attr-defined]
    else:
        assert (sent, fate) == ([], Fate.KEPT)
    assert not any(
        isinstance(each, AtCustomer) and not isinstance(each, SendToCustomer) for each in await desk.effects()
    ), "nothing follows it"


async def test_after_the_first_sync_without_changes_answers_leave(desk: StaffDesk) -> None:
    await desk.put(says("Come at nine", "$answer"))
    await desk.work(1)
    await becomes_older(desk.engine, timedelta(hours=1))
    lease = await leases.acquire(desk.engine, f"desk:{DESK}", "test", timedelta(days=1))
    assert lease is not None
    queue = SqlOutboxQueue(desk.engine, desk.keys, desk=DESK, device="D", lease=lease, holds_answers=True)
    assert await send_all([queue]) == []
    await queue.hear()
    assert len(await send_all([queue])) == 1
