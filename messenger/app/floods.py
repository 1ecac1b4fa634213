"""Floods, as people deal with them: a word to the leads of a group, and the decision. Their card is `flood_card`.

Nobody has to decide: as long as a flood is open, whatever else belongs to it is held, too, and nobody else notices. Who
answers customers may let it in, only a lead throws it away; an operator may do both (`stellwerk flood`)."""

from collections.abc import Mapping, Sequence

from messenger.app.audit import audit
from messenger.app.effects.base import Effect
from messenger.app.effects.customer import WarnCustomer
from messenger.app.effects.groups import ShowFlood
from messenger.app.effects.staff import ProvideDirectRoom, TellPerson
from messenger.app.effects.thread import PostNotice
from messenger.app.flood_ports import Flood, Verdict
from messenger.app.items import FloodBegan
from messenger.app.order import DeskOrder
from messenger.app.ports import UnitOfWork
from messenger.app.staff_messages import Refusal
from messenger.app.turn import Turn
from messenger.domain.errors import NotAllowed
from messenger.domain.ids import GroupId
from messenger.domain.people import Role
from messenger.i18n import texts

PURPOSE = "flood"
_VERDICTS: Mapping[str, Verdict] = {
    **dict.fromkeys(("admit", "einlassen", "放行"), "admitted"),
    **dict.fromkeys(("drop", "verwerfen", "丢弃"), "dropped"),
}


async def flood_began(turn: Turn, item: FloodBegan) -> None:
    flood = await turn.unit.floods.get(item.flood)
    if flood is None:
        return
    audit(turn.unit, actor="system", action="flood.held", object=f"flood:{flood.id}", purpose=PURPOSE)
    turn.effects.append(ShowFlood(group=flood.group, flood=flood.id))
    fields = {"number": str(flood.id), "group": (await turn.group(flood.group)).name}
    for lead in await turn.unit.trust.leads([flood.group]):
        turn.effects.append(ProvideDirectRoom(agent=lead.id))
        turn.effects.append(TellPerson(agent=lead.id, text="S37.lead", fields=fields))
    if flood.conversation is not None:
        owner = (await turn.unit.conversations.lock(flood.conversation)).owner
        notice = PostNotice(conversation=flood.conversation, text="S37.thread", fields=fields, mention=owner)
        turn.effects.append(notice)
    if flood.chat is not None:
        turn.effects.append(WarnCustomer(chat=flood.chat, text="C16"))


async def flood(order: DeskOrder) -> None:
    """`!flood`: what is held in one's groups; `!flood 3 admit`, `!flood 3 drop REASON`: the decision. Raises
    DomainError."""
    groups = {group.id: seat.role for group, seat in order.seats if seat.role.can_answer}
    number, _, rest = order.asked.text.removeprefix("#").partition(" ")
    if not number:
        return await _list(order, list(groups))
    word, _, reason = rest.strip().partition(" ")
    verdict = _VERDICTS.get(word.lower())
    if verdict is None or not number.isdigit():
        raise Refusal("flood.usage", example=order.example)
    found = await order.turn.unit.floods.get(int(number[:9]))
    if found is None or found.group not in groups:
        raise Refusal("flood.unknown", number=number[:9])
    if verdict == "dropped" and groups[found.group] is not Role.LEAD:
        raise NotAllowed(action="flood", who="lead")
    if verdict == "dropped" and not reason.strip():
        raise Refusal("flood.reason", number=number)
    effects = await decide_flood(order.turn.unit, found, verdict, by=f"agent:{order.person.id}", reason=reason.strip())
    if effects is None:
        raise Refusal("flood.unknown", number=str(found.id))
    order.turn.effects.extend(effects)
    order.answer(f"flood.{verdict}", number=str(found.id), count=str(found.messages))


async def decide_flood(
    unit: UnitOfWork, found: Flood, verdict: Verdict, *, by: str, reason: str
) -> Sequence[Effect] | None:
    """`by`: as the audit log has whoever decides. Returns what is to be said of it; None: somebody was first."""
    if not await unit.floods.decide(found.id, verdict, by=by.removeprefix("agent:")):
        return None
    audit(
        unit,
        actor=by,
        action=f"flood.{verdict}",
        object=f"flood:{found.id}",
        purpose=PURPOSE,
        words=reason,
        messages=str(found.messages),
    )
    card = ShowFlood(group=found.group, flood=found.id)
    if found.conversation is None:
        return [card]
    told = {"by": by.removeprefix("agent:"), "count": str(found.messages)}
    return [card, PostNotice(conversation=found.conversation, text=f"S37.thread.{verdict}", fields=told)]


async def _list(order: DeskOrder, groups: list[GroupId]) -> None:
    floods = await order.turn.unit.floods.open_in(groups)
    if not floods:
        return order.answer("flood.none")
    words = texts(order.person.language)
    lines = [
        words.plain(
            "flood.line",
            number=str(each.id),
            count=str(each.messages),
            persons=str(each.people),
            cause=words.plain(f"flood.cause.{each.scope.value}", server=each.about),
        )
        for each in floods
    ]
    order.answer("flood.list", lines="\n".join(lines))
