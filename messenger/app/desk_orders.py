"""Commands about no conversation, in the main timeline of a group's room, in the direct chat with the desk, or in any
thread. Each is one small function over a `DeskOrder`; what needs more room stands in a module of its own and is
registered here. It refuses by raising a DomainError."""

from collections.abc import Awaitable, Callable, Sequence

from messenger.app.availability import status
from messenger.app.effects.staff import ShowMine, ShowQueue
from messenger.app.floods import flood
from messenger.app.order import DeskOrder
from messenger.app.staff_messages import Refusal, answer_beside, claim
from messenger.app.starting import start
from messenger.app.trust import remove, trust
from messenger.app.verifying import verify
from messenger.domain.errors import NotAllowed
from messenger.domain.ids import GroupId


async def _queue(order: DeskOrder) -> None:
    _where_answering(order, "queue")
    order.turn.effects.append(ShowQueue(**order.here))


async def _mine(order: DeskOrder) -> None:
    _where_answering(order, "mine")
    order.turn.effects.append(ShowMine(**order.here))


async def _next(order: DeskOrder) -> None:
    """Claims what has waited longest of all that this person may take."""
    id = await order.turn.unit.lists.longest_waiting(_where_answering(order, "next"))
    if id is None:
        raise Refusal("queue.none")
    conversation = await order.turn.unit.conversations.lock(id)
    seat = next(seat for group, seat in order.seats if group.id == conversation.group)
    await claim(order.turn, conversation, seat)
    answer_beside(order.turn, order.item, conversation, seat, "next.yours")


async def _help(order: DeskOrder) -> None:
    order.answer("S33", topic=order.asked.text[:40], role=order.role.value)


def _where_answering(order: DeskOrder, action: str) -> Sequence[GroupId]:
    """The groups in which this person answers customers. Raises NotAllowed where there are none."""
    groups = [group.id for group, seat in order.seats if seat.role.can_answer]
    if not groups:
        raise NotAllowed(action=action, who="agent")
    return groups


DESK_ORDERS: dict[str, Callable[[DeskOrder], Awaitable[None]]] = {
    "queue": _queue,
    "mine": _mine,
    "next": _next,
    "flood": flood,
    "status": status,
    "start": start,
    "trust": trust,
    "remove": remove,
    "verify": verify,
    "help": _help,
}
