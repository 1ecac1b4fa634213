"""The staff's commands, carried out. Each is one small function; who may do it is the domain's decision."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from messenger.app.items import StaffSaid
from messenger.app.ports import Seat
from messenger.app.staff_messages import actor_of, add_message, claim, mentions_us, refuse
from messenger.app.turn import Turn
from messenger.domain.commands import ReleaseConversation, WithdrawMessage
from messenger.domain.conversation import Conversation
from messenger.domain.errors import NotHeld, NotOffered, NotThisConversation
from messenger.domain.replies import Fate, Said
from messenger.domain.staff_commands import COMMANDS, Asked

Order = Callable[[Turn, StaffSaid, Conversation, Seat, Asked], Awaitable[None]]

# These orders carry a message; it gets a message's fate marker instead of the one of a command.
_MESSAGES = frozenset({"note", "r"})


async def carry_out(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> bool:
    """True if the order was a message. Raises DomainError when it is refused: also one with the reference of another
    conversation, for what is meant there must not be done here."""
    if asked.ref not in ("", conversation.number):
        raise NotThisConversation()
    order = _ORDERS.get(asked.command.name)
    if order is None:
        raise NotOffered(action=asked.command.name)
    await order(turn, item, conversation, seat, asked)
    return asked.command.name in _MESSAGES


async def _claim(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    await claim(turn, conversation, seat)


async def _release(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    command = ReleaseConversation(agent=seat.agent.id, role=seat.role)
    await turn.act(conversation.id, conversation, command, actor=actor_of(seat))


async def _note(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    said = Said(type=item.type, text=asked.text, is_note=True)
    await add_message(turn, item, replace(item.content, text=asked.text, html=""), conversation, seat, said)


async def _reply(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    mentions = await mentions_us(turn, item)
    said = Said(type=item.type, text=asked.text, mentions_staff=mentions, is_explicit=True)
    await add_message(turn, item, replace(item.content, text=asked.text, html=""), conversation, seat, said)


async def _undo(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    """Keeps the author's held message inside."""
    held = await turn.unit.messages.last_held(conversation.id, seat.agent.id)
    if held is None:
        raise NotHeld()
    command = WithdrawMessage(message=held.id, author=seat.agent.id, is_held=held.fate is Fate.HELD)
    await turn.change_fate(conversation.id, conversation, command, actor=actor_of(seat))


async def _who(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    refuse(
        turn,
        conversation,
        "who.owner" if conversation.owner else "who.nobody",
        owner=str(conversation.owner or ""),
        at=conversation.claimed_at.isoformat() if conversation.claimed_at else "",
    )


async def _help(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> None:
    refuse(turn, conversation, "S33", topic=asked.text[:40], role=seat.role, language=seat.agent.language)


_ORDERS: dict[str, Order] = {
    "claim": _claim,
    "release": _release,
    "note": _note,
    "r": _reply,
    "undo": _undo,
    "who": _who,
    "help": _help,
}

# Declared, so that words and help are settled, but not carried out yet: the desk says so.
UNWIRED = frozenset(command.name for command in COMMANDS if command.name not in _ORDERS)
