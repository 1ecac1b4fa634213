"""Commands about no conversation, in the main timeline of a group's room, in the direct chat with the desk, or in any
thread. Each is one small function over a `DeskOrder`; what needs more room stands in a module of its own and is
registered here. It refuses by raising a DomainError."""

from collections.abc import Awaitable, Callable

from messenger.app.order import DeskOrder


async def _help(order: DeskOrder) -> None:
    order.answer("S33", topic=order.asked.text[:40], role=order.role.value)


DESK_ORDERS: dict[str, Callable[[DeskOrder], Awaitable[None]]] = {
    "help": _help,
}
