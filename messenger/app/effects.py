"""What shall happen outside: the rows of the outbox. An effect names WHAT to do by ids; texts are rendered and bodies
opened only when it is sent, so that the newest state is shown and an erased body stays erased.

`lane` is the unit of order: rows of one lane leave one after the other. `is_latest_wins` effects show a state; while
one is waiting, another adds nothing.

Two kinds stay inside: `SetTimer` and `RouteGroup` become rows of our own queues instead of the outbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

TimerKind = Literal["wake", "silence", "later", "menu", "load"]


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
    """The card of the conversation's place with this number; the thread hangs below it. In a room of its own
    (`is_room`) it is the first message, and pinned."""

    place: int = 1
    is_room: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideCaseRoom(ToThread):
    """The encrypted room of the conversation's place with this number, made once. Nobody is in it yet."""

    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatCase(ToThread):
    """Everybody who may read the conversation's own room comes in, with the keys of what was said before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatInCase(ToThread):
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseatFromCase(ToThread):
    """Out of every room of its own that the conversation has, or had."""

    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFormerCard(ToThread):
    """The card of an earlier place says where the conversation goes on. Behind the new card, so that it can link to
    it."""

    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayToThread(ToThread):
    """A customer's message."""

    message: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFile(RelayToThread):
    """The file of a customer's message, whose words are shown already: it waits for the virus scanner, and nothing
    waits for it. `sent_as`: the transaction under which it may have been posted before."""

    sent_as: str

    @property
    def lane(self) -> str:
        return f"file:{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostNotice(ToThread):
    """A line of the desk in the thread. `text` is a catalogue id; `fields` are filled in, staff ids by their names.
    With `mention` it is an ordinary message to that person, else a notice that rings nobody. `reader` is whose language
    it speaks (else the group's); `place` an earlier place, where it is said instead."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    mention: UUID | None = None
    reader: UUID | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A line of the desk about something of the customer's that cannot be shown; as in `PostNotice`."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRemarks(OfConversation):
    """Such lines, which nobody has asked for, as one message. While it waits, further ones join it, and two of them
    keep a distance, so that whoever sends a hundred such things fills no thread with a hundred notices. It stands in
    nobody's way: what the customer says goes ahead."""

    lines: Sequence[Remark]

    @property
    def lane(self) -> str:
        return f"remarks:{self.conversation}"

    @property
    def merge_key(self) -> str | None:
        return self.lane


@dataclass(frozen=True, slots=True, kw_only=True)
class PostContext(ToThread):
    """Tells the new owner what there is to know."""

    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPack(ToThread):
    """The resume pack: what happened, the open point, files, the last messages. `cause` names its first line; `by` is
    the colleague who caused it."""

    cause: str
    by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFiles(ToThread):
    """The conversation's files once more, for people who have not been there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFilesLater(ShowFiles):
    """The same when they wait for the virus scanner, and nothing waits for them."""

    sent_as: str

    @property
    def lane(self) -> str:
        return f"files:{self.conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHistory(ToThread):
    """The last messages, notes marked as such, in the language of `reader`. `room`: their direct chat, where they have
    broken the glass; else it is said at the conversation's place."""

    most: int
    reader: UUID
    room: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTranscript(ToThread):
    """Everything that was said, as one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditInThread(ToThread):
    """The customer changed a message, or took it back: so do all its copies in the thread."""

    message: UUID


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
class AtCustomer(OfConversation):
    """An answer: sent, changed, or taken back at the customer's."""

    chat: UUID
    message: UUID

    @property
    def lane(self) -> str:
        return f"chat:{self.chat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToCustomer(AtCustomer):
    """`hold_s`: so long it waits, and can be changed or taken back."""

    hold_s: float = 0.0


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
    """A notice about a conversation in a desk room outside its thread, which it can link to. `reader` is whose language
    it speaks (else the group's)."""

    conversation: UUID
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    reader: UUID | None = None
    thread: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(AtDeskRoom):
    """To somebody's command that is about no conversation, at the same place, in the language of `reader`."""

    reader: UUID
    thread: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SayAnswer(Answer):
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowQueue(Answer):
    """What waits in the reader's groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowMine(Answer):
    """Everything that the reader has open or paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellPerson(Effect):
    """A line in the direct chat of the desk with somebody of the staff; nobody hears it where there is none."""

    agent: UUID
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        return f"person:{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SayOfTrust(Effect):
    """A line about verification or trust, said also where everything else waits for a decision about trust. It goes to
    any device, so it holds nothing that is worth hiding."""

    room: str
    text: str
    language: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        return f"trust:{self.room}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskVerification(Effect):
    """The person's app is asked to verify the desk: in this room, or on all their devices."""

    person: str
    room: str | None
    language: str

    @property
    def lane(self) -> str:
        return f"verify:{self.person}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideDirectRoom(Effect):
    """The desk's direct chat with one of the staff, made if there is none: an alert must reach somebody."""

    agent: UUID

    @property
    def lane(self) -> str:
        return f"person:{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryOutTrust(Effect):
    """What a person has decided about a doubt. Then what has waited leaves."""

    room: str
    person: str
    device: str
    cause: str
    trusted: bool

    @property
    def lane(self) -> str:
        return f"trust:{self.room}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPerson(Effect):
    """Somebody has vouched for the identity that this person's account shows now."""

    person: str

    @property
    def lane(self) -> str:
        return f"trust:{self.person}"


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
class OpenNewRoom(OfGroup):
    """Another room has taken the place of the group's. Behind the seats: what is said there is for those inside."""

    former: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TellGroup(OfGroup):
    """A word of the desk in the group's room, outside any conversation; to one person, or to nobody in particular."""

    text: str
    person: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    in_their_language: bool = False

    @property
    def lane(self) -> str:
        return f"told:{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditBoard(OfGroup):
    """The group's pinned board, as things stand when it is sent."""

    is_latest_wins = True

    @property
    def lane(self) -> str:
        return f"board:{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFlood(OfGroup):
    """The card of a flood in the group's room, as things stand when it is sent."""

    flood: int
    is_latest_wins = True

    @property
    def lane(self) -> str:
        return f"flood:{self.flood}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatMember(OfGroup):
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseatMember(OfGroup):
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer(Effect):
    """Something shall be looked at, at this moment or later, once; also after a restart. Whether there is still
    anything to do is decided then: an old timer does nothing. `subject` tells several of one kind apart."""

    conversation: UUID
    kind: TimerKind
    at: datetime
    subject: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteGroup(Effect):
    """Something in this group has changed that may let somebody get something to do."""

    group: UUID
