"""`!status`: what somebody can take, as they say themselves. (Matrix presence says only that a client is open.)"""

from messenger.app.effects.inside import RouteGroup
from messenger.app.order import DeskOrder
from messenger.app.staff_messages import Refusal
from messenger.domain.routing.availability import Availability

_WORDS = {
    Availability.AVAILABLE: "available free here back verfügbar verfuegbar frei da zurück bereit 在线 空闲 可用",
    Availability.BUSY: "busy beschäftigt beschaeftigt besetzt 忙 忙碌",
    Availability.BREAK: "break pause 休息",
    Availability.TRAINING: "training schulung fortbildung 培训",
    Availability.MEETING: "meeting besprechung termin 会议 开会",
    Availability.AWAY: "away off abwesend weg 离开",
}
_BY_WORD = {word: value for value, words in _WORDS.items() for word in words.split()}


def read_status(text: str) -> tuple[Availability | None, str]:
    """The availability that the first word names, None if it names none, and the reason behind it."""
    word, _, reason = text.strip().partition(" ")
    return _BY_WORD.get(word.casefold().rstrip(":,")), reason.strip()


async def status(order: DeskOrder) -> None:
    """Says what it is, or changes it. Whoever is available again is given what waits."""
    people, person = order.turn.unit.people, order.person
    if not order.asked.text:
        now = await people.status(person.id)
        return order.answer("status.now", status=now.availability.value, since=now.since.isoformat())
    wanted, reason = read_status(order.asked.text)
    if wanted is None:
        raise Refusal("status.unknown", usage=order.usage)
    if wanted is Availability.BUSY and not reason:
        raise Refusal("status.reason", example=order.example)
    await people.set_status(person.id, wanted, reason, at=order.turn.unit.now, source="self")
    owned = await people.count_owned(person.id)
    order.answer(f"status.set.{_said(wanted)}", status=wanted.value, n=str(owned))
    if wanted.takes_assignments:
        order.turn.effects.extend(RouteGroup(group=group.id) for group, _ in order.seats)


def _said(wanted: Availability) -> str:
    """The text that tells what follows."""
    return wanted.value if wanted in (Availability.AVAILABLE, Availability.AWAY) else "other"
