"""What reaches the customer: answers, texts of the organisation, the menu; and the chat itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from messenger.app.effects.base import Effect, OfConversation


@dataclass(frozen=True, slots=True, kw_only=True)
class AtCustomer(OfConversation):
    """An answer: sent, changed, or taken back at the customer's."""

    chat: UUID
    message: UUID

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToCustomer(AtCustomer):
    """`hold_s`: so long it waits, and can be changed or taken back. `is_words_only`: its file is there already, or will
    never be."""

    hold_s: float = 0.0
    is_words_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFile(SendToCustomer):
    """The file of an answer, whose words have left already; as `RelayFile`."""

    sent_as: str

    @property
    def lane(self) -> str:
        return f"file:{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditAtCustomer(AtCustomer):
    """The answer, in its newest words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAtCustomer(AtCustomer):
    """All parts of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorReactions(OfConversation):
    """The reactions to a message as they are now, on the other side."""

    is_latest_wins = True
    message: UUID

    @property
    def lane(self) -> str:
        return f"reactions:{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TellCustomer(Effect):
    """A text of the organisation to the customer. `agent` fills {agent} by the name that customers may see."""

    chat: UUID
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    conversation: UUID | None = None
    agent: UUID | None = None

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GreetCustomer(TellCustomer):
    """The first that a customer's app has to read of us. Element, told to exclude insecure devices, asks for our keys
    as we join and does not try again what came before the answer; a homeserver far away has answered by then."""

    delay_s = 2.0
    text: str = "C1"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnCustomer(TellCustomer):
    """The same word about several messages in a row is said once: it waits a moment for the others."""

    is_latest_wins = True
    delay_s = 1.0

    @property
    def merge_key(self) -> str | None:
        return f"{self.lane}:{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutMenu(Effect):
    """`message` is the customer's first one, which the menu answers: by it the menu is found again."""

    chat: UUID
    conversation: UUID
    message: UUID

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferMenu(AboutMenu):
    """Asks the customer to which of these groups the matter belongs."""

    groups: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndMenu(AboutMenu):
    """It is decided: the menu takes no more answers, and the customer is told where the matter went."""

    group: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChat(Effect):
    """We write first: the chat is made, or the person asked in again. What we say waits behind it."""

    chat: UUID

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinChat(Effect):
    account: str
    chat: str
    person: str

    @property
    def lane(self) -> str:
        return f"join:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRoom(Effect):
    """A look at the room that takes the place of another. Whoever has made it asks us in a moment later."""

    delay_s = 3.0
    account: str
    room: str
    successor: str
    by: str

    @property
    def lane(self) -> str:
        return f"join:{self.successor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRoomLater(FollowRoom):
    """Something was missing when we looked last."""

    delay_s = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveRoom(Effect):
    """A room that we were led into, and that is none of ours."""

    room: str

    @property
    def lane(self) -> str:
        return f"join:{self.room}"
