"""What staff sees of a conversation, below its card: messages, files, fates, lines of the desk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from messenger.app.effects.base import OfConversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ToThread(OfConversation):
    @property
    def lane(self) -> str:
        return f"thread:{self.conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayToThread(ToThread):
    """A customer's message. `is_words_only`: its file is there already, or will never be."""

    message: UUID
    is_words_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFile(RelayToThread):
    """The file of a customer's message, whose words are shown already: it waits for the virus scanner, and nothing
    waits for it. `sent_as`: the transaction under which it may have been posted before."""

    sent_as: str

    @property
    def lane(self) -> str:
        return f"file:{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditInThread(ToThread):
    """The customer changed a message, or took it back: so do all its copies in the thread."""

    message: UUID


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
    """A line of the desk about something of the customer's that cannot be shown; as in `PostNotice`. A later one
    `about` the same event takes the place of one that has not left."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRemarks(OfConversation):
    """Such lines, which nobody has asked for, as one message. While it waits, further ones join it, and two of them
    keep a distance, so that whoever sends a hundred such things fills no thread with a hundred notices, and whoever
    sends them in a hundred chats no room. It stands in nobody's way: what the customer says goes ahead. `more`: so many
    were too many to be kept."""

    lines: Sequence[Remark]
    more: int = 0

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
