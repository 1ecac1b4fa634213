"""How sends ended: the outbox's results come back through the inbox and become events."""

from messenger.app.effects import PostNotice, TellCustomer
from messenger.app.items import SendEnded
from messenger.app.records import StoredMessage
from messenger.app.turn import Turn
from messenger.domain.commands import RecordDelivery, RecordFailure
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, MessageId

DESK = "desk"


async def send_ended(turn: Turn, item: SendEnded) -> None:
    conversation = await turn.unit.conversations.lock(ConversationId(item.conversation))
    message = await turn.unit.messages.get(MessageId(item.message))
    match item.effect:
        case "SendToCustomer":
            await _answer_ended(turn, conversation, message, item.code)
        case "EditAtCustomer" | "DeleteAtCustomer":
            _change_ended(turn, conversation, message, item.code)
        case "MirrorReactions":
            await _reaction_ended(turn, conversation, item.code)
        case "RelayToThread":
            _customers_file_was_refused(turn, conversation, message, item.code)


async def _answer_ended(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    command = RecordFailure(message=message.id, code=code) if code else RecordDelivery(message=message.id)
    await turn.change_fate(conversation.id, conversation, command, actor=DESK)
    if code:
        turn.effects.append(PostNotice(conversation=conversation.id, text=f"S13.{code}", mention=message.author))


def _change_ended(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    """Where the channel could not follow, the customer keeps the first version, and its author must know."""
    if code:
        turn.effects.append(PostNotice(conversation=conversation.id, text="S14.refused", mention=message.author))


async def _reaction_ended(turn: Turn, conversation: Conversation, code: str) -> None:
    """Said once: who has learned it needs no line below every smile."""
    owner = conversation.owner
    if code and not (owner and await turn.unit.messages.is_told(conversation.id, owner, "S14.reaction")):
        turn.effects.append(PostNotice(conversation=conversation.id, text="S14.reaction"))


def _customers_file_was_refused(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    name = next((media.filename for media in message.content.media), "")
    turn.effects.append(
        TellCustomer(chat=conversation.chat, conversation=conversation.id, text=f"C10.{code}", fields={"file": name})
    )
