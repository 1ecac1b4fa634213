"""How sends ended: the outbox's results come back through the inbox and become events."""

from messenger.app.audit import audit
from messenger.app.effects.customer import SendFile, TellCustomer
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import TellPerson
from messenger.app.effects.thread import PostNotice, RelayFile, ShowFilesLater
from messenger.app.items import FileWaits, SendEnded
from messenger.app.records import StoredMessage
from messenger.app.turn import Turn
from messenger.domain.commands import RecordDelivery, RecordFailure
from messenger.domain.conversation import Conversation
from messenger.domain.ids import ConversationId, MessageId

DESK = "desk"
# What an answer is not sent for because of its file.
_HELD_BACK = frozenset({"virus", "bomb", "active", "unchecked", "bad_media"})


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
            await _customers_file_was_refused(turn, conversation, message, item.code)


async def file_waits(turn: Turn, item: FileWaits) -> None:
    """The team sees that it is being checked; the file has a lane of its own from here on."""
    conversation = await turn.unit.conversations.lock(ConversationId(item.conversation))
    here, sent_as = conversation.id, item.sent_as
    if item.message is None:
        turn.effects.append(ShowFilesLater(conversation=here, sent_as=sent_as))
        return
    message = await turn.unit.messages.get(MessageId(item.message))
    if item.effect == "RelayToThread":
        notice, later = "S5c.customer", RelayFile(conversation=here, message=message.id, sent_as=sent_as)
        turn.effects += [PostNotice(conversation=here, text=notice, fields={"file": _file_name(message)}), later]
    else:
        file = SendFile(conversation=here, chat=conversation.chat, message=message.id, sent_as=sent_as)
        turn.effects += [PostNotice(conversation=here, text="S5c.staff", fields={"file": _file_name(message)}), file]


async def _answer_ended(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    command = RecordFailure(message=message.id, code=code) if code else RecordDelivery(message=message.id)
    await turn.change_fate(conversation.id, conversation, command, actor=DESK)
    if code:
        turn.effects.append(PostNotice(conversation=conversation.id, text=f"S13.{code}", mention=message.author))
    if code in _HELD_BACK:
        await _held_back(turn, conversation, message, code, side="staff")


def _change_ended(turn: Turn, conversation: Conversation, message: StoredMessage, code: str) -> None:
    """Where the channel could not follow, the customer keeps the first version, and its author must know."""
    if code:
        turn.effects.append(PostNotice(conversation=conversation.id, text="S14.refused", mention=message.author))


async def _reaction_ended(turn: Turn, conversation: Conversation, code: str) -> None:
    """Said once: who has learned it needs no line below every smile."""
    owner = conversation.owner
    if code and not (owner and await turn.unit.messages.is_told(conversation.id, owner, "S14.reaction")):
        turn.effects.append(PostNotice(conversation=conversation.id, text="S14.reaction"))


async def _customers_file_was_refused(
    turn: Turn, conversation: Conversation, message: StoredMessage, code: str
) -> None:
    told = {"file": _file_name(message)}
    turn.effects.append(
        TellCustomer(chat=conversation.chat, conversation=conversation.id, text=f"C10.{code}", fields=told)
    )
    await _held_back(turn, conversation, message, code, side="customer")


async def _held_back(turn: Turn, conversation: Conversation, message: StoredMessage, code: str, *, side: str) -> None:
    """A row of the audit log; of a virus the group and its leads hear, too. The file stays where it was sent and goes
    nowhere."""
    about = f"message:{message.id}"
    audit(turn.unit, actor="system", action="file.hold_back", object=about, purpose="malware", reason=code, side=side)
    if code != "virus" or conversation.group is None:
        return
    fields = {"ref": conversation.number}
    turn.effects.append(TellGroup(group=conversation.group, text=f"S5d.{side}", fields=fields))
    for lead in await turn.unit.trust.leads([conversation.group]):
        turn.effects.append(TellPerson(agent=lead.id, text=f"S5d.{side}", fields=fields))


def _file_name(message: StoredMessage) -> str:
    return next((media.filename for media in message.content.media), "")
