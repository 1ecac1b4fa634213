"""The staff's commands, carried out. Each is one small function; who may do it is the domain's decision."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from messenger.app.items import StaffSaid
from messenger.app.ports import Seat
from messenger.app.staff_messages import actor_of, add_message, claim, mentions_us, refuse
from messenger.app.turn import Turn
from messenger.domain.commands import ReleaseConversation, WithdrawMessage
from messenger.domain.conversation import Conversation
from messenger.domain.errors import NotHeld
from messenger.domain.replies import Fate, Said
from messenger.domain.staff_commands import Asked

Order = Callable[[Turn, StaffSaid, Conversation, Seat, Asked], Awaitable[None]]

# These orders carry a message; it gets a message's fate marker instead of the one of a command.
_MESSAGES = frozenset({"note", "r"})


async def carry_out(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> bool:
    """True if the order was a message. Raises DomainError when it is refused."""
    await _ORDERS[asked.command.name](turn, item, conversation, seat, asked)
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
    refuse(turn, conversation, "S33.all" if asked.text.casefold() == "all" else "S33")


_ORDERS: dict[str, Order] = {
    "claim": _claim,
    "release": _release,
    "note": _note,
    "r": _reply,
    "undo": _undo,
    "who": _who,
    "help": _help,
}
