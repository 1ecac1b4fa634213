"""Capacity in units instead of counts: waiting for the customer weighs little, paused nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

_ROUNDING = 1e-9  # five times 0.2 and 4 make 5, whatever binary fractions say


class Turn(StrEnum):
    """Whose turn it is in a conversation that has an owner."""

    OURS = "ours"
    CUSTOMERS = "customers"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """A group's rule: `phi` is the share of its weight that a conversation keeps while it waits for the customer, for
    `t_inactive` at most."""

    phi: float = 0.2
    t_inactive: timedelta = timedelta(hours=1)

    def of(self, ours: int, customers: int) -> float:
        """The load of so many conversations of weight one whose turn is ours, and the customers' (not yet inactive)."""
        return ours + self.phi * customers


DEFAULT_WEIGHING = Weighing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A conversation as its owner's load sees it. `since` is when the turn began; `weight` is in units,
    by channel."""

    weight: float
    turn: Turn
    since: datetime
    weighing: Weighing = DEFAULT_WEIGHING

    @property
    def inactive_at(self) -> datetime:
        return self.since + self.weighing.t_inactive


def units(held: Held, now: datetime) -> float:
    if held.turn is Turn.OURS:
        return held.weight
    if held.turn is Turn.CUSTOMERS and now < held.inactive_at:
        return held.weight * held.weighing.phi
    return 0.0


def load(conversations: Iterable[Held], now: datetime) -> float:
    return sum(units(held, now) for held in conversations)


def admissible(load: float, weight: float, units: float) -> bool:
    """Does one more conversation of this weight fit into the person's units? Somebody with no units takes nothing."""
    return units > 0 and load + weight <= units + _ROUNDING
