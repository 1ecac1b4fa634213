"""To which conversation of a chat a customer's message belongs. Usually there is one. Where several are open, it is the
one whose message they answer; else the one whose number they write first; else the one that spoke last."""

from messenger.app.records import Chat
from messenger.app.turn import Turn
from messenger.channels.messages import InboundMessage
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId
from messenger.domain.routing.addressed import leading_number


async def conversation_meant(turn: Turn, item: InboundMessage, chat: Chat) -> Conversation | None:
    """Locked. None if there is none in this chat yet."""
    named = await _answered(turn, item) or await _numbered(turn, item)
    if named is not None:
        conversation = await turn.unit.conversations.lock(named)
        if conversation.chat == chat.id:
            return conversation
    return await spoke_last(turn, chat)


async def spoke_last(turn: Turn, chat: Chat) -> Conversation | None:
    """One that is over counts only if no other is open."""
    if chat.conversation is None:
        return None
    last = await turn.unit.conversations.lock(chat.conversation)
    if not last.is_resolved:
        return last
    others = await turn.unit.conversations.open_in(chat.id)
    return await turn.unit.conversations.lock(others[0]) if others else last


async def _answered(turn: Turn, item: InboundMessage) -> ConversationId | None:
    trace = await turn.unit.messages.find_trace(item.account, item.reply_to) if item.reply_to else None
    return trace.conversation if trace else None


async def _numbered(turn: Turn, item: InboundMessage) -> ConversationId | None:
    number = leading_number(item.content.text)
    return await turn.unit.conversations.of_number(number) if number else None
