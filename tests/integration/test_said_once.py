"""A homeserver that was restored from an older backup lacks the newest events: what only we know is said once more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.deliver import STEPS
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import SendFile, WarnCustomer
from messenger.app.effects.staff import TellPerson
from messenger.app.effects.thread import RelayFile, ShowTranscript
from messenger.app.message_parts import APART
from messenger.app.records import Trace
from messenger.domain.ids import ConversationId, MessageId
from messenger.storage.models.queues import outbox
from messenger.storage.sent_again import SAID_ONCE, send_again
from tests.integration.staff_desk import DESK, StaffDesk
from tests.support.effects import kinds

# Each shows a state, or arranges something: it comes again by itself when that changes, or may be done twice.
COMES_AGAIN = {
    "AskVerification", "CarryOutTrust", "DeleteAtCustomer", "EditAtCustomer", "EditBoard", "EditCard", "EditFormerCard",
    "EditInThread", "FollowRoom", "FollowRoomLater", "JoinChat", "LeaveRoom", "MirrorReactions", "OpenChat",
    "OpenNewRoom", "ProvideCaseRoom", "ProvideDirectRoom", "ProvideGroupRoom", "React", "RemoveReaction", "SeatCase",
    "SeatInCase", "SeatMember", "ShowFlood", "TrustPerson",
    "UnseatFromCase", "UnseatMember",
}  # fmt: skip


def test_of_each_effect_it_is_said_whether_it_leaves_once() -> None:
    carried_out = {kind.__name__ for kind in kinds() if any(each in STEPS for each in kind.__mro__)}
    assert carried_out == COMES_AGAIN | set(SAID_ONCE)
    assert not COMES_AGAIN & set(SAID_ONCE)


@pytest.mark.parametrize("kind", [RelayFile, SendFile, WarnCustomer, ShowTranscript, TellPerson])
async def test_what_the_homeserver_has_lost_is_sent_again_and_nothing_else(
    database: AsyncEngine, kind: type[Effect]
) -> None:
    desk = StaffDesk(database)
    conversation = await desk.set_up(["@ben:x"])
    (lost, _, words), (kept, posted_as, more_words) = [await _sent(desk, conversation, kind) for _ in range(2)]
    found = {"since": datetime.now(UTC) - timedelta(hours=1), "events": [words, more_words], "txns": [posted_as]}
    assert await send_again(database, desk.keys, DESK, **found) == 1  # type: ignore[arg-type]
    async with database.begin() as connection:
        states = dict((await connection.execute(sa.select(outbox.c.txn, outbox.c.state))).tuples().all())
    assert (states[lost], states[kept]) == ("new", "sent")


async def _sent(desk: StaffDesk, conversation: ConversationId, kind: type[Effect]) -> tuple[str, str, str]:
    """The transaction of such a row, the one under which it was posted, and the event with the words that went ahead of
    its file."""
    message = MessageId(uuid4())
    words = f"$words-{message}"
    effect = _made(kind, conversation, message)
    trace = Trace(account=DESK, room="!r", remote_id=words, kind="copy", conversation=conversation, message=message)
    async with desk.units() as unit:
        await unit.messages.add_trace(replace(trace, part=APART))
        await unit.outbox.put(uuid4().hex, [effect])
    async with desk.engine.begin() as connection:
        newest = sa.select(sa.func.max(outbox.c.id)).scalar_subquery()
        values = {"state": "sent", "first_try_at": sa.func.now()}
        is_sent = outbox.update().where(outbox.c.id == newest).values(**values).returning(outbox.c.txn)
        txn = str(await connection.scalar(is_sent))
        return txn, getattr(effect, "sent_as", txn), words


def _made(kind: type[Effect], conversation: ConversationId, message: MessageId) -> Effect:
    if kind is RelayFile:
        return RelayFile(conversation=conversation, message=message, sent_as=f"m{message.hex}")
    if kind is SendFile:
        return SendFile(chat=uuid4(), conversation=conversation, message=message, sent_as=f"m{message.hex}")
    if kind is WarnCustomer:
        return WarnCustomer(chat=uuid4(), text="S1")
    if kind is TellPerson:
        return TellPerson(agent=uuid4(), text="S1")
    return ShowTranscript(conversation=conversation)
