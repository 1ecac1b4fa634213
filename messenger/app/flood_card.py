"""The card of a flood: one in the group's room, which counts along and says in the end who has decided what."""

from zoneinfo import ZoneInfo

from messenger.app.effects.groups import ShowFlood
from messenger.app.flood_ports import Flood
from messenger.app.hands import Hands
from messenger.app.notices import person_named, worded
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.ports import UnitOfWork
from messenger.app.records import Place, Said
from messenger.app.render import Clock
from messenger.domain.ids import GroupId
from messenger.domain.limits import Scope
from messenger.i18n import Texts, texts


async def show_flood(hands: Hands, effect: ShowFlood, txn: str) -> Outcome:
    """Posted once, then edited. It says what is so when it is sent."""
    async with hands.units.look() as unit:
        found = await unit.floods.get(effect.flood)
        group = await unit.people.group(GroupId(effect.group))
        room = await unit.people.room_of_group(group.id)
        words = texts(group.language)
        fields = await _fields(unit, words, found) if found else {}
    if found is None or room is None:
        return NOTHING
    text = worded(words, _text(found), Clock(tz=ZoneInfo(group.time_zone)), fields)
    said, place = Said(plain=text.plain, html=text.html), Place(room=room)
    event = found.event
    if event is not None:
        await hands.desk.edit(place, event, said, txn=txn, policy=group.device_policy)
    else:
        event = await hands.desk.find(room, txn) or await hands.desk.post(
            place, said, txn=txn, policy=group.device_policy
        )
    return Outcome(flood=(found.id, event, found.messages))


async def renew_floods(hands: Hands) -> int:
    """Wants an edit of each card that tells another number by now. Returns how many those are."""
    async with hands.units() as unit:
        stale = await unit.floods.stale()
        for id, group in stale:
            await unit.outbox.put(f"flood|{id}|{unit.now.isoformat()}", [ShowFlood(group=group, flood=id)])
    return len(stale)


def _text(found: Flood) -> str:
    if found.verdict is not None:
        return f"S37.{found.verdict}"
    is_somebody_new = found.scope is Scope.CONTACT and found.conversation is None
    return "S37.newcomer" if is_somebody_new else f"S37.{found.scope.value}"


async def _fields(unit: UnitOfWork, words: Texts, found: Flood) -> dict[str, str]:
    fields = {
        "number": str(found.id),
        "count": str(found.messages),
        "persons": str(found.people),
        "server": found.about,
        "since": found.since.isoformat(),
    }
    if found.conversation is not None:
        fields["ref"] = await unit.conversations.number_of(found.conversation)
    if found.verdict is not None and found.decided_at is not None:
        fields |= {"at": found.decided_at.isoformat(), "person": await person_named(unit, words, found.decided_by)}
    return fields
