"""How sends ended: the outbox's results come back through the inbox and become events."""

from messenger.app.effects import PostNotice, TellCustomer
from messenger.app.items import SendEnded
from messenger.app.ports import StoredMessage
from messenger.app.turn import Turn
from messenger.domain.commands import RecordDelivery, RecordFailure
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, MessageId

DESK = "desk"


async def send_ended(turn: Turn, item: SendEnded) -> None:
    conversation = await turn.unit.conversations.lock(ConversationId(item.conversation))
    message = await turn.unit.messages.get(MessageId(item.message))
    if item.effect == "SendToCustomer":
        return await _answer_ended(turn, conversation, message, item.code)
    _customers_file_was_refused(turn, conversation, message, item.code)


async def _answer_ended(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    command = RecordFailure(message=message.id, code=code) if code else RecordDelivery(message=message.id)
    await turn.change_fate(conversation.id, conversation, command, actor=DESK)
    if code:
        turn.effects.append(PostNotice(conversation=conversation.id, text=f"S13.{code}", mention=message.author))


def _customers_file_was_refused(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    name = next((media.filename for media in message.content.media), "")
    turn.effects.append(
        TellCustomer(chat=conversation.chat, conversation=conversation.id, text=f"C10.{code}", fields={"file": name})
    )
