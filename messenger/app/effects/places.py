"""Where staff sees a conversation: its cards, and the rooms of its own with the people in them."""

from dataclasses import dataclass
from uuid import UUID

from messenger.app.effects.base import OfConversation
from messenger.app.effects.thread import ToThread


@dataclass(frozen=True, slots=True, kw_only=True)
class PostCard(ToThread):
    """The card of the conversation's place with this number; the thread hangs below it. In a room of its own
    (`is_room`) it is the first message, and pinned."""

    place: int = 1
    is_room: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCard(OfConversation):
    is_latest_wins = True

    @property
    def lane(self) -> str:
        return f"card:{self.conversation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFormerCard(ToThread):
    """The card of an earlier place says where the conversation goes on. Behind the new card, so that it can link to
    it."""

    place: int


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
