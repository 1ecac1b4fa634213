"""What shall happen outside: the rows of the outbox. An effect names WHAT to do by ids; texts are rendered and bodies
opened only when it is sent, so that the newest state is shown and an erased body stays erased.

`lane` is the unit of order: rows of one lane leave one after the other. `is_latest_wins` effects show a state; while
one is waiting, another adds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    is_latest_wins = False
    delay_s = 0.0

    @property
    def merge_key(self) -> str | None:
        """Rows with the same key show the same thing."""
        return self.lane if self.is_latest_wins else None

    @property
    def lane(self) -> str:
        """The lane of this row."""
        raise TypeError(f"{type(self).__name__} has no lane")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfConversation(Effect):
    conversation: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ToThread(OfConversation):
    @property
    def lane(self) -> str:
        return f"thread:{self.conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostCard(ToThread):
    """The conversation's card; the thread hangs below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayToThread(ToThread):
    """A customer's message."""

    message: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PostNotice(ToThread):
    """A line of the desk in the thread. `text` is a catalogue id; `fields` are filled in, staff ids by their names.
    With `mention` it is an ordinary message to that person, else a notice that rings nobody."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    mention: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PostContext(ToThread):
    """Tells the new owner what there is to know."""

    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCard(OfConversation):
    is_latest_wins = True

    @property
    def lane(self) -> str:
        return f"card:{self.conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFate(OfConversation):
    """The one marker on a staff message. Waits a moment: a message that is delivered at once needs no marker in
    between."""

    is_latest_wins = True
    delay_s = 0.7
    message: UUID

    @property
    def lane(self) -> str:
        return f"fate:{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFateNow(ShowFate):
    """A final fate; hurries a marker that waits."""

    delay_s = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToCustomer(OfConversation):
    chat: UUID
    message: UUID

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


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
class WarnCustomer(TellCustomer):
    """The same word about several messages in a row is said once: it waits a moment for the others."""

    is_latest_wins = True
    delay_s = 1.0

    @property
    def merge_key(self) -> str | None:
        return f"{self.lane}:{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinChat(Effect):
    account: str
    chat: str
    person: str

    @property
    def lane(self) -> str:
        return f"join:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtDeskRoom(Effect):
    """Something small at one event of a desk room."""

    room: str
    event: str

    @property
    def lane(self) -> str:
        return f"event:{self.event}"


@dataclass(frozen=True, slots=True, kw_only=True)
class React(AtDeskRoom):
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveReaction(AtDeskRoom):
    """Somebody's reaction that claims what it must not; `event` is the reaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerInRoom(AtDeskRoom):
    """A notice in a desk room outside the conversation's thread; it links to the thread."""

    conversation: UUID
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfGroup(Effect):
    group: UUID

    @property
    def lane(self) -> str:
        return f"group:{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideGroupRoom(OfGroup):
    """The group's encrypted room, made once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellGroup(OfGroup):
    """A word of the desk in the group's room, to one person, outside any conversation."""

    text: str
    person: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        return f"told:{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatMember(OfGroup):
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseatMember(OfGroup):
    agent: UUID
