"""The staff's commands, carried out. Each is one small function; who may do it is the domain's decision."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from messenger.app import case_rooms, glass, lookups, trust
from messenger.app.access import asked as asked_for
from messenger.app.access import asked_beside, seat_at
from messenger.app.desk_orders import DESK_ORDERS
from messenger.app.items import StaffSaid
from messenger.app.order import DeskOrder, Order
from messenger.app.persons import find_colleague, find_group, rest_after
from messenger.app.records import Seat
from messenger.app.sight import is_out_of_sight
from messenger.app.staff_messages import Refusal, actor_of, add_message, claim, group_of, mentions_us
from messenger.app.turn import Turn
from messenger.app.waits import moment_asked, pause_asked
from messenger.app.why import told, why
from messenger.domain import commands as c
from messenger.domain.access import BESIDE_ACTIONS, COMMAND_ACTIONS
from messenger.domain.conversation import Conversation
from messenger.domain.errors import CannotAnswer, NotOffered, NotThisConversation, TransferForbidden
from messenger.domain.people import DevicePolicy, SkillGroup
from messenger.domain.replies import Fate, Said
from messenger.domain.staff_commands import COMMANDS, Asked
from messenger.domain.undo import undoing

# These orders carry a message; it gets a message's fate marker instead of the one of a command.
_MESSAGES = frozenset({"note", "r", "later"})


async def carry_out(turn: Turn, item: StaffSaid, conversation: Conversation, seat: Seat, asked: Asked) -> bool:
    """True if the order was a message. Raises DomainError when it is refused: also one with the reference of another
    conversation, for what is meant there must not be done here."""
    if asked.ref not in ("", conversation.number):
        raise NotThisConversation()
    name = asked.command.name
    if name in _ORDERS:
        order = Order(turn, item, conversation, seat, asked)
        await asked_for(
            turn.unit, conversation, seat, COMMAND_ACTIONS[name], command=name, do=lambda: _ORDERS[name](order)
        )
    elif name in DESK_ORDERS:
        await carry_out_beside(DeskOrder(turn, item, await turn.unit.people.seats_of(item.sender), asked))
    else:
        raise NotOffered(action=name)
    return name in _MESSAGES


async def carry_out_beside(order: DeskOrder) -> None:
    """What is about no conversation. Raises DomainError when it is refused."""
    name = order.asked.command.name
    await asked_beside(
        order.turn.unit, order.seats, BESIDE_ACTIONS[name], command=name, do=lambda: DESK_ORDERS[name](order)
    )


async def _claim(order: Order) -> None:
    await claim(order.turn, order.conversation, order.seat)


async def _release(order: Order) -> None:
    await order.do(c.ReleaseConversation(agent=order.seat.agent.id, role=order.seat.role), note=order.asked.text)


async def _assign(order: Order) -> None:
    colleague = await find_colleague(order.turn, order.item, order.asked.text)
    seat = await seat_at(order.turn.unit, order.conversation, colleague.address)
    if seat is None:
        raise Refusal("S10c.not_in_group", person=colleague.name)
    await _hand_to(order, seat, rest_after(colleague, order.asked.text))


async def _transfer(order: Order) -> None:
    """To a colleague in this group the thread stays; to another group, or a colleague there, it moves."""
    text, groups = order.asked.text, await order.turn.unit.people.groups()
    name, comment = find_group(groups, text)
    if name is not None:
        return await _move(order, name, comment, None)
    if not text.startswith("@") and not order.item.mentions:
        raise Refusal("S17.unknown_group", groups=", ".join(group.name for group in groups))
    colleague = await find_colleague(order.turn, order.item, text)
    comment = rest_after(colleague, text)
    seats = await order.turn.unit.people.seats_of(colleague.address)
    here = await seat_at(order.turn.unit, order.conversation, colleague.address)
    if here is not None:
        return await _hand_to(order, here, comment)
    there = [(group, seat) for group, seat in seats if seat.role.can_answer]
    if not there:
        raise CannotAnswer()
    group, seat = await _first_allowed(order, there)
    await _move(order, group.name, comment, seat)


async def _first_allowed(order: Order, seats: Sequence[tuple[SkillGroup, Seat]]) -> tuple[SkillGroup, Seat]:
    mine = await order.turn.group(group_of(order.conversation))
    allowed = [(group, seat) for group, seat in seats if mine.may_transfer_to(group)]
    if not allowed:
        raise await _only_elsewhere(order)
    return allowed[0]


async def _only_elsewhere(order: Order) -> Refusal:
    """Names the groups to which the conversation may be handed over from where it is."""
    mine = await order.turn.group(group_of(order.conversation))
    groups = await order.turn.unit.people.groups()
    names = [group.name for group in groups if mine.may_transfer_to(group) and group.id != mine.id]
    return Refusal("S17.forbidden", groups=", ".join(names)) if names else Refusal("S17.forbidden.all")


async def _hand_to(order: Order, seat: Seat, comment: str) -> None:
    command = c.AssignConversation(
        agent=seat.agent.id,
        agent_role=seat.role,
        reason="handed",
        by=order.seat.agent.id,
        role=order.seat.role,
        note=order.note_id(comment),
    )
    await order.do(command, note=comment)


async def _move(order: Order, name: str, comment: str, seat: Seat | None) -> None:
    """Where nobody can take it, it goes to the group's fallback."""
    groups = await order.turn.unit.people.groups()
    mine = await order.turn.group(group_of(order.conversation))
    wanted = next(group for group in groups if group.name == name)
    target = wanted
    if seat is None and wanted.fallback_group and not await order.turn.unit.people.can_somebody_answer(wanted.id):
        target = next((group for group in groups if group.name == wanted.fallback_group), wanted)
    if target.id == mine.id:
        raise Refusal("S17.same_group")
    command = c.TransferConversation(
        to_group=target.id,
        by=order.seat.agent.id,
        role=order.seat.role,
        is_allowed=mine.may_transfer_to(wanted),
        reason="asked" if target is wanted else "fallback",
        agent=seat.agent.id if seat else None,
        note=order.note_id(comment),
    )
    try:
        await order.do(command, note=comment)
    except TransferForbidden:
        raise await _only_elsewhere(order) from None


async def _pause(order: Order) -> None:
    group = await order.turn.group(group_of(order.conversation))
    asked = pause_asked(order.asked.text, group, order.turn.unit.now)
    if isinstance(asked, str):
        raise Refusal(f"S18.{asked}", example=order.example)
    command = c.PauseConversation(
        agent=order.seat.agent.id,
        role=order.seat.role,
        wake_on=asked.wake_on,
        until=asked.until,
        note=order.note_id(asked.rest),
    )
    await order.do(command, note=asked.rest)


async def _resume(order: Order) -> None:
    is_far = await is_out_of_sight(order.turn, order.conversation)
    await order.do(c.ResumeConversation(agent=order.seat.agent.id, role=order.seat.role, is_out_of_sight=is_far))


async def _resolve(order: Order) -> None:
    text = order.asked.text
    command = c.ResolveConversation(agent=order.seat.agent.id, role=order.seat.role, note=order.note_id(text))
    await order.do(command, note=text)


async def _reopen(order: Order) -> None:
    is_far = await is_out_of_sight(order.turn, order.conversation)
    await order.do(c.ReopenConversation(agent=order.seat.agent.id, role=order.seat.role, is_out_of_sight=is_far))


async def _note(order: Order) -> None:
    said = Said(type=order.item.type, text=order.asked.text, is_note=True)
    await _add(order, order.asked.text, said)


async def _reply(order: Order) -> None:
    mentions = await mentions_us(order.turn, order.item)
    said = Said(type=order.item.type, text=order.asked.text, mentions_staff=mentions, is_explicit=True)
    await _add(order, order.asked.text, said)


async def _add(order: Order, text: str, said: Said) -> None:
    content = replace(order.item.content, text=text, html="")
    await add_message(order.turn, order.item, content, order.conversation, order.seat, said)


async def _later(order: Order) -> None:
    """Ruled on now, so that what would stop it is said at once."""
    group = await order.turn.group(group_of(order.conversation))
    asked = moment_asked(order.asked.text, group, order.turn.unit.now)
    if isinstance(asked, str):
        raise Refusal(f"later.{asked}", example=order.example)
    assert asked.until is not None
    content = replace(order.item.content, text=asked.rest, html="")
    message = order.message(content)
    said = Said(
        type=order.item.type,
        text=asked.rest,
        mentions_staff=await mentions_us(order.turn, order.item),
        is_explicit=True,
        is_from_trusted_device=order.item.owner_signed or group.device_policy is DevicePolicy.ANY,
    )
    command = c.ScheduleReply(
        message=message.id,
        author=order.seat.agent.id,
        role=order.seat.role,
        said=said,
        mode=group.reply_mode,
        at=asked.until,
        four_eyes=group.four_eyes,
        is_customer_room_safe=await order.turn.unit.chats.is_safe(order.conversation.chat),
    )
    await order.turn.act(
        order.conversation.id,
        order.conversation,
        command,
        actor=actor_of(order.seat),
        message=message,
        trace=order.origin(message),
    )


async def _undo(order: Order) -> None:
    """What waits stays inside: an answer that is held, or was to leave later, or has not left yet. If nothing of the
    author's waits, their own last step with the conversation is taken back."""
    author, messages = order.seat.agent.id, order.turn.unit.messages
    waiting = await messages.last_waiting(order.conversation.id, author)
    if waiting is not None:
        is_held = waiting.fate is Fate.HELD
        return await order.do(c.WithdrawMessage(message=waiting.id, author=author, is_held=is_held))
    last = await messages.last_of(order.conversation.id, author)
    if last is not None and last.fate is Fate.QUEUED and await order.turn.unit.outbox.keep_back(last.id):
        was = Fate.QUEUED.value
        return await order.do(c.DeleteStaffMessage(message=last.id, author=author, was=was, is_waiting=True))
    log = await order.turn.unit.conversations.history(order.conversation.id)
    now = order.turn.unit.now
    await order.do(undoing(log, author, order.seat.role, actor=actor_of(order.seat), now=now))


async def _remove(order: Order) -> None:
    """After an alert, whom it is about; else out of the conversation's own room."""
    if await trust.is_doubted(order.turn, order.item, order.asked.text):
        seats = await order.turn.unit.people.seats_of(order.item.sender)
        return await trust.remove(DeskOrder(order.turn, order.item, seats, order.asked))
    await case_rooms.remove(order)


async def _why(order: Order) -> None:
    order.answer("why", lines=told(await why(order.turn.unit, order.conversation)))


async def _help(order: Order) -> None:
    order.answer("S33", topic=order.asked.text[:40], role=order.seat.role.value, language=order.seat.agent.language)


_ORDERS: dict[str, Callable[[Order], Awaitable[None]]] = {
    "claim": _claim,
    "release": _release,
    "assign": _assign,
    "transfer": _transfer,
    "pause": _pause,
    "resume": _resume,
    "resolve": _resolve,
    "reopen": _reopen,
    "note": _note,
    "r": _reply,
    "later": _later,
    "undo": _undo,
    "tag": lookups.tag,
    "history": lookups.history,
    "who": lookups.who,
    "fate": lookups.fate,
    "why": _why,
    "room": case_rooms.room,
    "invite": case_rooms.invite,
    "remove": _remove,
    "glass": glass.needless,
    "help": _help,
}

# Declared, so that words and help are settled, but not carried out yet: the desk says so.
UNWIRED = frozenset(command.name for command in COMMANDS if command.name not in _ORDERS | DESK_ORDERS)
