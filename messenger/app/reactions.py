"""Reactions of people to messages. Who reacted with what is noted here; on the other side the desk shows each sign
once, as long as there is anybody whose it is.

Nothing is ever said about a reaction that does not cross: people react to colleagues' lines all day."""

from messenger.app.effects.customer import MirrorReactions
from messenger.app.items import CustomerReacted, StaffReacted
from messenger.app.records import Reaction, Seat, StoredMessage, Trace
from messenger.app.staff_messages import group_of
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import Handle, ReactionsChanged
from messenger.domain.conversation import Conversation
from messenger.domain.ids import MessageId
from messenger.domain.people import DevicePolicy
from messenger.domain.reactions import carried_key, reaction_leaves
from messenger.domain.replies import Standing

# What we send is noted a moment after it is there for people to react to.
NOTED_SOON = 10
SEND_TRIES = 120


async def customer_reacted(turn: Turn, item: CustomerReacted) -> None:
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None:
        return await _wait_while_we_send(turn, item)
    answer = await _our_message(turn, trace, item.sender)
    if answer is not None:
        await _note(turn, item.account, item.event, answer, sender=item.sender.value, key=item.key)


async def customers_reactions_changed(turn: Turn, item: ReactionsChanged) -> None:
    """The person's whole set. A channel that reports so has no ids of single reactions; these get one each."""
    trace = await turn.unit.messages.find_trace(item.account, item.target)
    if trace is None:
        raise NotYet("target of reactions", tries=NOTED_SOON)
    answer = await _our_message(turn, trace, item.sender)
    if answer is None:
        return
    keys = sorted(key for raw in item.now if (key := carried_key(raw)))
    now = {f"{item.target}|{item.sender.value}|{key}": key for key in keys}
    await turn.unit.reactions.replace(item.account, answer.id, item.sender.value, now)
    _mirror(turn, answer)


async def staff_reacted_to_customer(
    turn: Turn, item: StaffReacted, conversation: Conversation, seat: Seat, message: MessageId
) -> None:
    """It crosses if this person may speak to the customer here and now."""
    group = await turn.group(group_of(conversation))
    standing = Standing(
        role=seat.role,
        is_owner=conversation.is_owned_by(seat.agent.id),
        has_owner=conversation.owner is not None,
        mode=group.reply_mode,
        four_eyes=group.four_eyes,
        is_resolved=conversation.is_resolved,
        is_customer_room_safe=await turn.unit.chats.is_safe(conversation.chat),
    )
    is_trusted = group.device_policy is DevicePolicy.ANY
    if reaction_leaves(item.key, standing, is_device_trusted=is_trusted):
        target = await turn.unit.messages.get(message)
        await _note(turn, item.account, item.event, target, sender=item.sender, key=item.key)


async def reaction_removed(turn: Turn, account: str, event: str) -> bool:
    """True if `event` was a reaction that we carry. Whoever removed it, it is gone."""
    message = await turn.unit.reactions.remove(account, event)
    if message is not None:
        _mirror(turn, await turn.unit.messages.get(message))
    return message is not None


async def _note(turn: Turn, account: str, event: str, message: StoredMessage, *, sender: str, key: str) -> None:
    if shown := carried_key(key):
        new = Reaction(account=account, event=event, message=message.id, sender=sender, key=shown)
        await turn.unit.reactions.add(new)
        _mirror(turn, message)


def _mirror(turn: Turn, message: StoredMessage) -> None:
    turn.effects.append(MirrorReactions(conversation=message.conversation, message=message.id))


async def _our_message(turn: Turn, trace: Trace, sender: Handle) -> StoredMessage | None:
    """The answer of ours to which this customer reacts. A reaction cannot be marked as somebody else's, as words are,
    so only the customer's own crosses."""
    if trace.kind != "copy" or trace.message is None:
        return None
    message = await turn.unit.messages.get(trace.message)
    if message.author is None or message.is_deleted:
        return None
    case = await turn.unit.conversations.case(message.conversation)
    return message if case.chat.person == sender else None


async def _wait_while_we_send(turn: Turn, item: CustomerReacted) -> None:
    """A text of the desk, or nothing of ours; unless an answer is just being sent. The chat stands still meanwhile, so
    nothing else is waited for."""
    chat = await turn.unit.chats.find(item.account, item.room)
    if chat is not None and await turn.unit.outbox.is_sending(f"chat:{chat.id}"):
        raise NotYet("target of a reaction", tries=SEND_TRIES)
