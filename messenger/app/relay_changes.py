"""What becomes of a customer's message in the thread when it is changed or taken back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby

from messenger.app import render
from messenger.app.effects.thread import EditInThread
from messenger.app.erased import must_be_readable
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import APART, part_txn
from messenger.app.outcome import NOTHING, Outcome
from messenger.app.outside_ports import ScannerAway
from messenger.app.ports import UnitOfWork
from messenger.app.records import Place, PlaceRow, Said, Trace
from messenger.app.relay_texts import Relay, answering, relay_said, words_said
from messenger.domain.ids import MessageId
from messenger.domain.people import SkillGroup
from messenger.i18n import texts


async def edit_in_thread(hands: Hands, effect: EditInThread, txn: str) -> Outcome:
    """The copies become what the message is now, in each room that has any. Where the conversation is now, more parts
    than before are said anew; of fewer, the rest goes. Who has taken it over reads the change as a line of its own.
    What was deleted goes, with every edit of it, for an edit leaves the words before it readable; a line says so."""
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        copies = await unit.messages.copies_of(message.id)
        rooms = {copy.room for copy in copies}
        groups = await _groups_of(unit, await unit.conversations.places(case.conversation.id), rooms)
        relay = await answering(unit, Relay(case=case, message=message, words=texts(case.group.language)))
    if not copies:
        return NOTHING  # it was never shown; what is shown later is the newest
    if not message.is_deleted:
        must_be_readable(message)
    changing = _Changing(hands=hands, relay=replace(relay, rings=False), txn=txn)
    for room, there in groupby(copies, key=lambda copy: copy.room):
        if case.is_room and room != case.room and not message.is_deleted:
            continue  # whoever may not read the case room learns no new words where they could read before
        await changing.in_room(room, list(there), groups.get(room, case.group))
    if case.room not in rooms or message.is_deleted:
        await changing.anew(next((copy.remote_id for copy in copies if copy.room == case.room), None))
    return Outcome(traces=changing.new, gone=changing.gone)


@dataclass(slots=True, kw_only=True)
class _Changing:
    """One change on its way through the rooms; each call outside gets the next number."""

    hands: Hands
    relay: Relay
    txn: str
    numbers: Iterator[int] = field(default_factory=count)
    new: list[Trace] = field(default_factory=list)
    gone: list[Trace] = field(default_factory=list)

    async def in_room(self, room: str, copies: Sequence[Trace], group: SkillGroup) -> None:
        said, is_file_away = await self._for(copies)
        if not self.relay.message.is_deleted:
            copies = [copy for copy in copies if copy.part >= APART] or copies
        if is_file_away:
            return await self._words_below(len(copies)) if room == self.relay.case.room else None
        for copy, each in zip(copies, said, strict=False):
            txn = part_txn(self.txn, next(self.numbers))
            await self.hands.desk.edit(Place(room=room), copy.remote_id, each, txn=txn, policy=group.device_policy)
        for copy in copies[len(said) :]:
            await self.hands.desk.take_back(room, copy.remote_id, txn=f"{self.txn}g{next(self.numbers)}")
            self.gone.append(copy)
        if room == self.relay.case.room:
            await self._post(said[len(copies) :], copies[0].part + len(copies))
        return None

    async def anew(self, gone: str | None) -> None:
        """Nothing of it stands in this place yet, or any more; `gone` stood here."""
        if self.relay.message.is_deleted:
            return await self._post([_deleted(self.relay, gone)], 0)
        said, is_file_away = await self._now()
        if is_file_away and not said:
            return await self._words_below(0)
        return await self._post(said, 0)

    async def _words_below(self, first: int) -> None:
        """Its file cannot be had any more, and an edit would take it away: the new words stand below it."""
        if self.relay.message.content.text:
            await self._post(words_said(self.relay), first)

    async def _now(self) -> tuple[Sequence[Said], bool]:
        """What the message is now, and whether its file cannot be had; while the scanner is away nobody can say."""
        try:
            said, refused = await relay_said(self.hands, self.relay)
        except ScannerAway:
            return (), True
        return said, refused is not None

    async def _for(self, copies: Sequence[Trace]) -> tuple[Sequence[Said], bool]:
        """Where words went ahead of their file, it is them that change; the file came after them, or comes."""
        if self.relay.message.is_deleted:
            return (), False
        if any(copy.part >= APART for copy in copies):
            return self._words(), False
        return await self._now()

    def _words(self) -> Sequence[Said]:
        return words_said(self.relay) if self.relay.message.content.text else ()

    async def _post(self, said: Sequence[Said], first: int) -> None:
        case, message = self.relay.case, self.relay.message
        for part, each in enumerate(said, first):
            event = await self.hands.post(case, each, part_txn(self.txn, next(self.numbers)))
            self.new.append(replace(self.hands.copy(case, message, event), part=part))


async def _groups_of(unit: UnitOfWork, places: Sequence[PlaceRow], rooms: set[str]) -> dict[str, SkillGroup]:
    """Whose people read there; a former room keeps its own group's rule for devices."""
    return {row.room: await unit.people.group(row.group) for row in places if row.room in rooms}


def _deleted(relay: Relay, gone: str | None) -> Said:
    """It answers the empty place, so that it is seen which of them it was."""
    at = relay.message.edited_at or relay.message.at
    id = "S4.deleted" if gone else "S4.deleted.earlier"
    id = "S4.deleted.file" if relay.message.content.media else id
    text = render.notice(relay.words, id, clock=clock_of(relay.case), name=relay.profile[1], at=at)
    return Said(plain=text.plain, html=text.html, reply_to=gone)
