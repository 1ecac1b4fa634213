"""What happens in a group's room: its seats, its board, and words that are about no conversation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from messenger.app.effects.base import Effect


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
class SeatMember(OfGroup):
    agent: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseatMember(OfGroup):
    """In a lane of its own: nobody stays because a seat for somebody else cannot be made."""

    agent: UUID

    @property
    def lane(self) -> str:
        return f"unseat:{self.group}:{self.agent}"


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
