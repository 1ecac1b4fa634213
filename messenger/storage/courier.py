"""From the unit of work that writes an outbox row straight to the worker that sends it, without a walk through the
queue.

Only what stands at the head of a conversation's thread goes this way, while nothing else is being sent: its turn holds
the conversation, so that nobody else writes to that lane meanwhile; and before anything of it is on the wire its
ratchet is saved behind the fence. A process that dies in between leaves an ordinary claim, which the next one takes
back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from messenger.app.effects.base import Effect
from messenger.app.effects.thread import ToThread
from messenger.app.records import OutboxRow
from messenger.storage.leases import NO_LEASE, Lease


class Hand(Protocol):
    """The outbox worker of this process."""

    @property
    def is_idle(self) -> bool: ...

    def take(self, rows: Sequence[OutboxRow]) -> None:
        """Sends rows that are claimed already."""

    def let_go(self, rows: Sequence[OutboxRow]) -> None:
        """Frees rows that may be claimed, or may not exist at all."""

    def look(self) -> None:
        """There is something in the outbox."""


class NoHand:
    """Somebody else sends: what is written waits in the outbox to be found."""

    is_idle = False

    def take(self, rows: Sequence[OutboxRow]) -> None:
        raise AssertionError("nothing is claimed for nobody")

    let_go = take

    def look(self) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Claims for one worker, under its desk's lease and as its device."""

    hand: Hand
    lease: Lease
    device: str

    def may_carry(self, effect: Effect) -> bool:
        return isinstance(effect, ToThread) and not effect.delay_s and self.hand.is_idle


NOBODY = Courier(hand=NoHand(), lease=NO_LEASE, device="")
