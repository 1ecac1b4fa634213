"""What every effect has: the lane it leaves in, and what may stand for it."""

from dataclasses import dataclass
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
