"""What is left of somebody who was erased: their conversations without words and without their name."""

from messenger.app.ports import BodyErased
from messenger.app.records import Chat, StoredMessage
from messenger.i18n import Texts


def customer_name(words: Texts, chat: Chat) -> str:
    """The customer's name, or the word for somebody who has none any more."""
    return words.plain("label.erased") if chat.is_erased else chat.name


def must_be_readable(message: StoredMessage) -> None:
    """Before it is shown or sent anew. Raises BodyErased, which ends the work: there is nothing to show."""
    if message.is_erased:
        raise BodyErased("the message was erased")
