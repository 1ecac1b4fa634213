"""Orders that tell about a conversation: who has it, what was said, what became of a message; and its tags."""

from messenger.app.effects.places import EditCard
from messenger.app.effects.thread import ShowFiles, ShowHistory
from messenger.app.order import Order
from messenger.app.records import StoredMessage
from messenger.app.sight import answered_message
from messenger.app.staff_messages import Refusal
from messenger.domain import tags
from messenger.domain.conversation import Conversation, State
from messenger.domain.events import NoteKept, ReplyHeld

MOST_SHOWN, SHOWN = 50, 10
_FILES = frozenset({"files", "file", "dateien", "datei", "anlagen", "文件", "附件"})


async def who(order: Order) -> None:
    now = order.conversation
    since = now.resolved_at if now.is_resolved else now.waiting_since or now.answered_at or now.claimed_at
    order.answer(
        f"who.{_standing(now)}",
        owner=str(now.owner or ""),
        at=now.claimed_at.isoformat() if now.claimed_at else "",
        since=since.isoformat() if since else "",
        until=now.pause.until.isoformat() if now.pause and now.pause.until else "",
        wakes=" ".join(sorted(now.pause.wake_on)) if now.pause else "",
    )


async def history(order: Order) -> None:
    """In the conversation's own place: it is what was said there. Who has broken the glass reads it by themselves."""
    word, is_behind_glass = order.asked.text.strip().casefold(), order.seat.is_behind_glass
    if word in _FILES and is_behind_glass:
        raise Refusal("glass.no_files")
    if word in _FILES:
        await _files_again(order)
    elif not word or (word.isdecimal() and int(word[:4]) > 0):
        most = min(int(word[:4]), MOST_SHOWN) if word else SHOWN
        reader = order.seat.agent.id
        room = order.item.room if is_behind_glass else ""
        shown = ShowHistory(conversation=order.conversation.id, most=most, reader=reader, room=room)
        order.turn.effects.append(shown)
    else:
        raise Refusal("S10b", usage=order.usage, example=order.example)
    if order.turn.answer_to is not None and not is_behind_glass:
        order.answer("S26.there")


async def tag(order: Order) -> None:
    conversations, id = order.turn.unit.conversations, order.conversation.id
    before = await conversations.tags(id)
    now = tags.changed(before, order.asked.text)
    if now != before:
        await conversations.set_tags(id, now)
        order.turn.effects.append(EditCard(conversation=id))
    if not order.asked.text:
        order.answer("tag.list" if now else "tag.none", tags=", ".join(now))


async def fate(order: Order) -> None:
    """Of the message that is answered, or of one's own last."""
    messages, item = order.turn.unit.messages, order.item
    answered = await answered_message(order.turn, item.account, item.reply_to)
    message = await messages.get(answered) if answered else None
    if message is None:
        message = await messages.last_of(order.conversation.id, order.seat.agent.id)
    if message is None or message.conversation != order.conversation.id:
        raise Refusal("fate.none")
    order.answer(await _fate_text(order, message), owner=str(message.author or ""), at=message.at.isoformat())


def _standing(now: Conversation) -> str:
    match now.state:
        case State.RESOLVED | State.PAUSED:
            return now.state.value
        case State.OPEN:
            return "theirs" if now.waiting_since is None else "ours"
        case _:
            return "nobody"


async def _files_again(order: Order) -> None:
    if not await order.turn.unit.messages.with_files(order.conversation.id):
        raise Refusal("history.no_files")
    order.turn.effects.append(ShowFiles(conversation=order.conversation.id))


async def _fate_text(order: Order, message: StoredMessage) -> str:
    if message.author is None or message.fate is None:
        return "fate.customer"
    if message.is_deleted:
        return "fate.deleted"
    if message.id in order.conversation.scheduled:
        return "fate.scheduled"
    log = await order.turn.unit.conversations.history(order.conversation.id)
    verdicts = [
        entry.event.reason
        for entry in log
        if isinstance(entry.event, NoteKept | ReplyHeld) and entry.event.message == message.id
    ]
    is_draft = message.fate.value == "kept" and bool(verdicts) and verdicts[-1] == "draft"
    return "fate.draft" if is_draft else f"fate.{message.fate.value}"
