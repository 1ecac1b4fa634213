"""Deciding whose keys are right: `!trust`. A lead vouches for somebody else, never for themselves: whoever stands
between the desk and a person could write in that person's name."""

from messenger.app.audit import audit
from messenger.app.effects import TrustPerson
from messenger.app.order import DeskOrder
from messenger.app.persons import find_colleague
from messenger.app.staff_messages import Refusal
from messenger.domain.errors import NotAllowed
from messenger.domain.people import Role


async def trust(order: DeskOrder) -> None:
    """The identity that this person's account shows now is theirs. Raises DomainError."""
    person = await find_colleague(order.turn, order.item, order.asked.text)
    led = {group.id for group, seat in order.seats if seat.role is Role.LEAD}
    theirs = {group.id for group, _ in await order.turn.unit.people.seats_of(person.address)}
    if not led & theirs:
        raise NotAllowed(action="trust", who="lead")
    if person.id == order.person.id:
        raise Refusal("trust.oneself")
    audit(
        order.turn.unit,
        actor=f"agent:{order.person.id}",
        action="trust.accept",
        object=f"agent:{person.id}",
        purpose="device_trust",
    )
    order.turn.effects.append(TrustPerson(person=person.address))
    order.answer("trust.done", person=person.name)
