"""Whose keys are right: doubts that keep a room waiting, and the people who decide about them.

Where a member appears whom our database does not know, where somebody's identity has changed, or where a new device
appears that its owner has not signed, nothing leaves in that room; what waits keeps its order. Leads of the group hear
of it in their direct chat with the desk (or in the conversation's thread, if it is about a customer's room) and decide:
`!trust` or `!remove`. A doubt whose cause goes away by itself (the device is signed now) is cleared without them.

Nobody decides about themselves: whoever stands between the desk and a person could write in that person's name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from messenger.app.audit import audit
from messenger.app.effects.groups import TellGroup
from messenger.app.effects.staff import ProvideDirectRoom, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.effects.trust import CarryOutTrust, SayOfTrust, TrustPerson
from messenger.app.items import DeviceLeftOut, MessagesMissing, StaffSaid, TrustDoubted, TrustSettled
from messenger.app.order import DeskOrder
from messenger.app.persons import find_colleague, matrix_address
from messenger.app.ports import UnitOfWork
from messenger.app.records import TrustAlert
from messenger.app.staff_messages import Refusal
from messenger.app.turn import Turn
from messenger.app.verifying import grouped
from messenger.domain.errors import NotAllowed
from messenger.domain.ids import ConversationId, GroupId
from messenger.domain.people import Agent, Role, SkillGroup
from messenger.domain.trust import is_told_only

log = logging.getLogger(__name__)

PURPOSE = "device_trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concerned:
    """What a doubted room is to people: whose leads decide, and where a conversation's thread can say so."""

    name: str
    groups: Sequence[SkillGroup]
    thread: ConversationId | None = None


async def doubted(turn: Turn, item: TrustDoubted) -> None:
    log.warning("trust alert", extra={"code": item.cause, "room_id": item.room, "user_id": item.user})
    if not await turn.unit.trust.raise_alert(item):
        return
    audit(turn.unit, actor="system", action="trust.alert", object=f"cause:{item.cause}", purpose=PURPOSE)
    place = await place_of(turn, item.account, item.room)
    fields = {"place": place.name, "person": item.user, "device": item.device, "key": grouped(item.key)}
    if item.count:
        fields["count"] = str(item.count)
    if await tell(turn, place, f"S31.{item.cause}", fields, person=item.user):
        return
    if is_told_only(item.cause):
        _tell_group(turn, place, f"S31.{item.cause}", fields)
    else:
        await _tell_who_waits(turn, place, (f"S31.{item.cause}", "S31.no_lead"), fields)


async def settled(turn: Turn, item: TrustSettled) -> None:
    alerts = await turn.unit.trust.alerts_in(item.account, item.room, cause=item.cause)
    if not alerts:
        return
    await turn.unit.trust.decide([alert.id for alert in alerts], state="cleared", by="system")
    audit(turn.unit, actor="system", action="trust.cleared", object=f"alert:{alerts[0].id}", purpose=PURPOSE)
    place = await place_of(turn, item.account, item.room)
    for person in dict.fromkeys(alert.person for alert in alerts):
        await tell(turn, place, "trust.cleared", {"place": place.name, "person": person}, person=person)


async def messages_missing(turn: Turn, item: MessagesMissing) -> None:
    """What has not come in between is missing. The sender's app may have given up on it, so it keeps nothing
    waiting."""
    missing = item.last - item.first + 1 - await turn.unit.trust.count_seen(item)
    if missing > 0:
        doubt = TrustDoubted(account=item.account, room=item.room, user=item.user, cause="missing", count=missing)
        await doubted(turn, doubt)


async def tell_unverified(turn: Turn, item: DeviceLeftOut) -> None:
    """Where only verified people read, they cannot read what is said there about it: they hear it between themselves
    and the desk."""
    for _, seat in (await turn.unit.people.seats_of(item.user))[:1]:
        room = await turn.unit.people.direct_room_of(seat.agent.id)
        if room is not None:
            fields = {"person": seat.agent.name, "device": item.device}
            said = SayOfTrust(room=room, text="S31.not_verified", language=seat.agent.language, fields=fields)
            turn.effects.append(said)


async def customer_changed(turn: Turn, item: DeviceLeftOut) -> None:
    """Where every device gets keys, waiting would protect nobody: whoever can change an identity there could as well
    have added a device. But the team must know, and the messages say so (`unverified`)."""
    doubt = TrustDoubted(account=item.account, room=item.room, user=item.user, cause="customer_identity")
    await doubted(turn, replace(doubt, key=item.device))


async def customer_has_new_device(turn: Turn, item: DeviceLeftOut) -> None:
    """The same of a device that nobody has signed, beside those that are."""
    doubt = TrustDoubted(account=item.account, room=item.room, user=item.user, cause="customer_device")
    await doubted(turn, replace(doubt, device=item.device))


async def trust(order: DeskOrder) -> None:
    """`!trust @person`: what was doubted about them is right. Without a doubt, the identity that their account shows
    now is theirs. Raises DomainError."""
    address = await _person_named(order)
    if not await _decide(order, address, trusted=True):
        await _vouch(order, await find_colleague(order.turn, order.item, order.asked.text))


async def remove(order: DeskOrder) -> None:
    """`!remove @person`, after an alert. Raises DomainError."""
    address = await _person_named(order)
    if not await _decide(order, address, trusted=False):
        raise Refusal("trust.nothing", person=address)


async def is_doubted(turn: Turn, item: StaffSaid, text: str) -> bool:
    """Is a decision about the person who is named there open?"""
    address = await _address_in(turn, item, text)
    return any(alert.state == "open" for alert in await turn.unit.trust.alerts_of(address)) if address else False


async def _decide(order: DeskOrder, address: str, *, trusted: bool) -> bool:
    """All that is open about this person where this lead leads. False if nothing is."""
    matters = open_for(await order.turn.unit.trust.alerts_of(address), trusted=trusted)
    mine = [alert for alert in matters if await _may_decide(order, alert)]
    if matters and not mine:
        raise NotAllowed(action="trust", who="lead")
    if not mine:
        return False
    if address == order.person.address:
        raise Refusal("trust.oneself")
    by = f"agent:{order.person.id}"
    order.turn.effects.extend(await decide_alerts(order.turn.unit, mine, by=by, trusted=trusted))
    if all(is_told_only(alert.cause) for alert in mine):
        order.answer("trust.noted", person=address)
    else:
        order.answer("trust.trusted" if trusted else "trust.removed", person=address)
    return True


def open_for(alerts: Sequence[TrustAlert], *, trusted: bool) -> list[TrustAlert]:
    """What a decision is about. Somebody who was taken out for their new identity can be let in again."""
    again = trusted and {"identity_changed"}
    return [alert for alert in alerts if alert.state == "open" or (again and alert.cause in again)]


async def decide_alerts(
    unit: UnitOfWork, alerts: Sequence[TrustAlert], *, by: str, trusted: bool
) -> list[CarryOutTrust]:
    """Writes the decision down; the effects carry it out. `by` as in the audit log."""
    noted = [alert for alert in alerts if is_told_only(alert.cause)]
    await unit.trust.decide([alert.id for alert in noted], state="noted", by=by)
    for alert in noted:
        audit(unit, actor=by, action="trust.note", object=f"alert:{alert.id}", purpose=PURPOSE, cause=alert.cause)
    alerts = [alert for alert in alerts if alert not in noted]
    await unit.trust.decide([alert.id for alert in alerts], state="trusted" if trusted else "removed", by=by)
    action = "trust.accept" if trusted else "trust.remove"
    for alert in alerts:
        audit(unit, actor=by, action=action, object=f"alert:{alert.id}", purpose=PURPOSE, cause=alert.cause)
    return [
        CarryOutTrust(
            room=alert.room,
            person=alert.person,
            device=alert.device,
            cause=alert.cause,
            trusted=trusted,
            key=alert.key,
        )
        for alert in alerts
    ]


async def _vouch(order: DeskOrder, person: Agent) -> None:
    led = {group.id for group, seat in order.seats if seat.role is Role.LEAD}
    theirs = {group.id for group, _ in await order.turn.unit.people.seats_of(person.address)}
    if not led & theirs:
        raise NotAllowed(action="trust", who="lead")
    if person.id == order.person.id:
        raise Refusal("trust.oneself")
    actor, about = f"agent:{order.person.id}", f"agent:{person.id}"
    audit(order.turn.unit, actor=actor, action="trust.vouch", object=about, purpose=PURPOSE)
    order.turn.effects.append(TrustPerson(person=person.address))
    order.answer("trust.done", person=person.name)


async def _may_decide(order: DeskOrder, alert: TrustAlert) -> bool:
    place = await place_of(order.turn, alert.account, alert.room)
    led = {group.id for group, seat in order.seats if seat.role is Role.LEAD}
    return any(group.id in led for group in place.groups)


async def _person_named(order: DeskOrder) -> str:
    found = await _address_in(order.turn, order.item, order.asked.text)
    return found or (await find_colleague(order.turn, order.item, order.asked.text)).address


async def _address_in(turn: Turn, item: StaffSaid, text: str) -> str:
    """A stranger has no name with us, only an address."""
    word = next(iter(text.split(maxsplit=1)), "")
    mentioned = next(iter(sorted(item.mentions, key=lambda address: address == item.account)), "")
    colleague = None if mentioned or matrix_address(word) else await turn.unit.people.colleague(word)
    return mentioned or matrix_address(word) or (colleague.address if colleague else "")


async def place_of(turn: Turn, account: str, room: str) -> Concerned:
    unit = turn.unit
    group = await unit.people.group_of_room(room)
    if group is not None:
        return Concerned(name=group.name, groups=[group])
    own_room = await unit.conversations.place_of_room(room)
    if own_room is not None:
        return await _of_conversation(turn, own_room[0], thread=None)
    person = await unit.people.person_of_direct_room(room)
    if person is not None:
        return Concerned(name=person.name, groups=[group for group, _ in await unit.people.seats_of(person.address)])
    chat = await unit.chats.find(account, room)
    if chat is not None and chat.conversation is not None:
        return await _of_conversation(turn, chat.conversation, thread=chat.conversation)
    return await _nobodys(turn, room)


async def _nobodys(turn: Turn, room: str) -> Concerned:
    """What belongs to no group yet, is for those who get what belongs to none."""
    return Concerned(name=room, groups=[group for group in await turn.unit.people.groups() if group.is_default])


async def _of_conversation(turn: Turn, id: ConversationId, *, thread: ConversationId | None) -> Concerned:
    conversation = await turn.unit.conversations.lock(id)
    if conversation.group is None:
        return await _nobodys(turn, conversation.number)
    return Concerned(name=conversation.number, groups=[await turn.group(conversation.group)], thread=thread)


async def tell(turn: Turn, place: Concerned, text: str, fields: dict[str, str], *, person: str) -> bool:
    """The leads, each in their own language; in a thread also whoever reads it. Whoever it is about decides nothing,
    and the alert must not depend on their device."""
    if place.thread is not None:
        turn.effects.append(PostNotice(conversation=place.thread, text=text, fields=fields))
    leads = await turn.unit.trust.leads([GroupId(group.id) for group in place.groups])
    hearing = [lead for lead in leads if lead.address != person]
    for lead in hearing:
        turn.effects.append(ProvideDirectRoom(agent=lead.id))
        turn.effects.append(TellPerson(agent=lead.id, text=text, fields=fields))
    return bool(hearing) or place.thread is not None


def _tell_group(turn: Turn, place: Concerned, text: str, fields: dict[str, str]) -> None:
    """Where there is no lead who could hear it, the group must."""
    for group in place.groups:
        turn.effects.append(TellGroup(group=group.id, text=text, fields=fields))


async def _tell_who_waits(turn: Turn, place: Concerned, lines: Sequence[str], fields: dict[str, str]) -> None:
    """Where nothing leaves and nobody there may decide, the group must know why, and who can."""
    for group in place.groups:
        if (room := await turn.unit.people.room_of_group(group.id)) is not None:
            turn.effects += [SayOfTrust(room=room, text=text, language=group.language, fields=fields) for text in lines]
