"""What a person can take. Matrix presence is none of these: it says that a client is open."""

from enum import StrEnum


class Availability(StrEnum):
    AVAILABLE = "available"
    BUSY = "busy"
    BREAK = "break"
    TRAINING = "training"
    MEETING = "meeting"
    FOCUS = "focus"
    WRAP_UP = "wrap_up"
    AWAY = "away"
    AWAY_AND_REASSIGNING = "away_and_reassigning"
    OFFLINE = "offline"
    NOT_RESPONDING = "not_responding"

    @property
    def takes_assignments(self) -> bool:
        return self is Availability.AVAILABLE


# What people set themselves; the others come from plans and from the desk.
CHOSEN = (
    Availability.AVAILABLE,
    Availability.BUSY,
    Availability.BREAK,
    Availability.TRAINING,
    Availability.MEETING,
    Availability.AWAY,
)
