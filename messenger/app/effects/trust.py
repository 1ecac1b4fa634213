"""What is said and done about verification and trust, beside all that waits for a decision about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from messenger.app.effects.base import Effect


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
class CarryOutTrust(Effect):
    """What a person has decided about a doubt. Then what has waited leaves."""

    room: str
    person: str
    device: str
    cause: str
    trusted: bool
    key: str = ""  # the one that the doubt was about: a later one is another doubt

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
