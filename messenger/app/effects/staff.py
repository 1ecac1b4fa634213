"""What the desk does and says for staff outside of the threads: at an event of a room, or in somebody's direct chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from messenger.app.effects.base import Effect


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
class ProvideDirectRoom(Effect):
    """The desk's direct chat with one of the staff, made if there is none: an alert must reach somebody."""

    agent: UUID

    @property
    def lane(self) -> str:
        return f"person:{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TellPerson(Effect):
    """A line in the direct chat of the desk with somebody of the staff; nobody hears it where there is none."""

    agent: UUID
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def lane(self) -> str:
        return f"person:{self.agent}"
