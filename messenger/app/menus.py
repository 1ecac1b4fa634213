"""Customers answer the menu: they vote, or write a number or a label. Whatever else they write is kept and shown when
the matter has a place; the menu is said once more for it, and then no more."""

from collections.abc import Sequence

from messenger.app.records import Chat, StoredMessage, Trace
from messenger.app.turn import NotYet, Turn
from messenger.channels.messages import InboundMessage
from messenger.domain.commands import AskAgain, ChooseGroup, ReceiveMessage
from messenger.domain.conversation import Conversation, State
from messenger.domain.events import MenuOffered
from messenger.domain.ids import GroupId
from messenger.domain.routing.menu import Choice, choices, read_choice
from messenger.domain.routing.rules import Arrival, route, with_hours

CUSTOMER = "customer"
MOST_MENUS = 2
# A vote may be here before we have noted which menu it answers; one in a poll that is not ours is never noted.
MENU_TRIES = 10


async def voted(turn: Turn, item: InboundMessage, chat: Chat) -> None:
    """A vote is never a message. Only the customer's first one in time decides; all others do nothing."""
    trace = await turn.unit.messages.find_trace(item.account, item.reply_to or "")
    if trace is None:
        raise NotYet("menu", tries=MENU_TRIES)
    if trace.kind != "notice" or trace.conversation is None or item.sender != chat.person:
        return
    conversation = await turn.unit.conversations.lock(trace.conversation)
    if conversation.chat == chat.id and conversation.state is State.NEW:
        offered = await _offered(turn, await _menus(turn, conversation))
        await _choose(turn, conversation, read_choice(item.signals["button"], offered))


async def answered(turn: Turn, conversation: Conversation, message: StoredMessage, trace: Trace) -> None:
    """What came while the customer is asked."""
    menus = await _menus(turn, conversation)
    is_plain = not (message.content.media or message.speaker)
    group = read_choice(message.content.text, await _offered(turn, menus)) if is_plain else None
    if group is not None:
        return await _choose(turn, conversation, group)
    received = ReceiveMessage(message=message.id, is_unverified=message.is_unverified_customers)
    await turn.act(conversation.id, conversation, received, actor=CUSTOMER, message=message, trace=trace)
    if len(menus) < MOST_MENUS:
        now = await turn.unit.conversations.lock(conversation.id)
        await turn.act(now.id, now, AskAgain(menu=menus[0]), actor=CUSTOMER)


async def nothing_chosen(turn: Turn, conversation: Conversation) -> ChooseGroup:
    """When the time for an answer is over, the rules decide, and that is in the end the default group."""
    chat = await turn.unit.chats.get(conversation.chat)
    arrival = Arrival(language=conversation.language, first_text="", account=chat.account, at=turn.unit.now)
    found = route(arrival, await turn.unit.people.groups())
    group = await turn.group(found.group)
    return ChooseGroup(group=group.id, because=with_hours(arrival, group, "no_choice").reason)


async def _choose(turn: Turn, conversation: Conversation, id: GroupId | None) -> None:
    if id is None:
        return
    arrival = Arrival(language=conversation.language, first_text="", at=turn.unit.now)
    because = with_hours(arrival, await turn.group(id), "choice").reason
    await turn.act(conversation.id, conversation, ChooseGroup(group=id, because=because), actor=CUSTOMER)


async def _menus(turn: Turn, conversation: Conversation) -> Sequence[tuple[GroupId, ...]]:
    """Those that were offered. Their numbers stay what they were, whatever becomes of the groups meanwhile."""
    log = await turn.unit.conversations.history(conversation.id)
    return [entry.event.groups for entry in log if isinstance(entry.event, MenuOffered)]


async def _offered(turn: Turn, menus: Sequence[tuple[GroupId, ...]]) -> Sequence[Choice]:
    return choices(menus[0], await turn.unit.people.groups())
