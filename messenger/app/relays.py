"""A customer's message on its way into the thread, and what becomes of its copies when it is changed or taken back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from typing import assert_never

from messenger.app import render
from messenger.app.effects.thread import EditInThread, RelayFile, RelayToThread
from messenger.app.erased import customer_name, must_be_readable
from messenger.app.files import Checked, checked_file
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import APART, fitted, part_txn, parts_of, safe_html
from messenger.app.outcome import NOTHING, Outcome, ended, waits_for_scanner
from messenger.app.outside_ports import ScannerAway
from messenger.app.ports import UnitOfWork
from messenger.app.records import Case, Place, PlaceRow, Said, StoredMessage, Trace
from messenger.domain.attachment import Refused
from messenger.domain.ids import MessageId
from messenger.domain.people import MentionOwner, SkillGroup
from messenger.domain.text import quoted_words, short_quote
from messenger.i18n import Texts, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relay:
    """Under whose name, in whose words, whom it rings, and what it answers: an event of the same room, or else the
    quoted words."""

    case: Case
    message: StoredMessage
    words: Texts
    rings: bool = True
    reply_to: str | None = None
    quote: str = ""

    @property
    def name(self) -> str:
        return self.message.speaker or customer_name(self.words, self.case.chat)

    @property
    def profile(self) -> tuple[str, str]:
        shown = render.shown_name(self.words, self.name, unverified=self.message.is_unverified)
        return self.message.speaker or str(self.case.chat.contact), shown

    @property
    def mentions(self) -> Sequence[str]:
        return [self.case.owner.address] if self.case.owner and self.rings else []


async def relay_to_thread(hands: Hands, effect: RelayToThread, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        must_be_readable(message)
        relay = _Relay(case=case, message=message, words=texts(case.group.language))
        relay = replace(await _answering(unit, relay), rings=await _rings_owner(unit, case, message))
    try:
        said, refused = await _said(hands, relay)
    except ScannerAway:
        return await _words_first(hands, effect, relay, txn)
    events = [await hands.post(case, each, part_txn(txn, n)) for n, each in enumerate(said)]
    return Outcome(traces=_copies(hands, relay, events), items=[ended(effect, txn, refused.code)] if refused else [])


async def _words_first(hands: Hands, effect: RelayToThread, relay: _Relay, txn: str) -> Outcome:
    said = _words_said(relay) if relay.message.content.text else []
    events = [await hands.post(relay.case, each, part_txn(f"{txn}w", n)) for n, each in enumerate(said)]
    traces = [replace(trace, part=APART + trace.part) for trace in _copies(hands, relay, events)]
    return Outcome(traces=traces, items=[waits_for_scanner(effect, txn)])


async def relay_file(hands: Hands, effect: RelayFile, txn: str) -> Outcome:
    """The file for which the scanner had to be waited. Raises ScannerAway: it waits on."""
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        if message.is_deleted:
            return NOTHING
        must_be_readable(message)
        relay = _Relay(case=case, message=message, words=texts(case.group.language))
        copies = await unit.messages.copies_of(message.id)
        relay = _behind_words(relay, copies) if copies else await _answering(unit, relay)
    checked = await checked_file(hands, message.content.media[0], patience_s=None)
    if isinstance(checked, Refused):
        (said,) = _refused_said(hands, _without_words(relay), checked)
    else:
        said = _file_said(relay, checked)
    event = await hands.post(case, said, effect.sent_as)
    items = [ended(effect, txn, checked.code)] if isinstance(checked, Refused) else []
    return Outcome(traces=_copies(hands, relay, [event]), items=items)


def _behind_words(relay: _Relay, copies: Sequence[Trace]) -> _Relay:
    """They have been said and have rung; the file answers them where they stand in the same room."""
    there = [copy.remote_id for copy in copies if copy.room == relay.case.room]
    return replace(_without_words(relay), rings=False, reply_to=there[0] if there else None)


def _without_words(relay: _Relay) -> _Relay:
    content = replace(relay.message.content, text="", html="")
    return replace(relay, message=replace(relay.message, content=content, edited_at=None))


async def edit_in_thread(hands: Hands, effect: EditInThread, txn: str) -> Outcome:
    """The copies become what the message is now, in each room that has any. Where the conversation is now, more parts
    than before are said anew; of fewer, the rest goes. Who has taken it over reads the change as a line of its own.
    What was deleted goes, with every edit of it, for an edit leaves the words before it readable; a line says so."""
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        copies = await unit.messages.copies_of(message.id)
        rooms = {copy.room for copy in copies}
        groups = await _groups_of(unit, await unit.conversations.places(case.conversation.id), rooms)
        relay = await _answering(unit, _Relay(case=case, message=message, words=texts(case.group.language)))
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
    relay: _Relay
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
            await self._post(_words_said(self.relay), first)

    async def _now(self) -> tuple[Sequence[Said], bool]:
        """What the message is now, and whether its file cannot be had; while the scanner is away nobody can say."""
        try:
            said, refused = await _said(self.hands, self.relay)
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
        return _words_said(self.relay) if self.relay.message.content.text else ()

    async def _post(self, said: Sequence[Said], first: int) -> None:
        case, message = self.relay.case, self.relay.message
        for part, each in enumerate(said, first):
            event = await self.hands.post(case, each, part_txn(self.txn, next(self.numbers)))
            self.new.append(replace(self.hands.copy(case, message, event), part=part))


async def _groups_of(unit: UnitOfWork, places: Sequence[PlaceRow], rooms: set[str]) -> dict[str, SkillGroup]:
    """Whose people read there; a former room keeps its own group's rule for devices."""
    return {row.room: await unit.people.group(row.group) for row in places if row.room in rooms}


async def _answering(unit: UnitOfWork, relay: _Relay) -> _Relay:
    """A true reply where the answered message stands in the same room, under any of its ids; else its words above."""
    message, room = relay.message, relay.case.room
    if message.reply_to is None:
        return replace(relay, quote=quoted_words(message.content.full_text))
    traces = sorted(await unit.messages.traces_of(message.reply_to), key=lambda trace: trace.part)
    there = [trace.remote_id for trace in traces if trace.room == room and trace.kind in ("origin", "copy")]
    if there:
        return replace(relay, reply_to=there[0])
    answered = await unit.messages.get(message.reply_to)
    return relay if answered.is_deleted else replace(relay, quote=_quote_of(answered))


def _quote_of(answered: StoredMessage) -> str:
    media = answered.content.media
    return short_quote(answered.content.text or (media[0].filename if media else ""))


async def _rings_owner(unit: UnitOfWork, case: Case, message: StoredMessage) -> bool:
    match case.group.mention_owner:
        case MentionOwner.EACH:
            return True
        case MentionOwner.FIRST_UNANSWERED:
            return await unit.messages.is_first_unanswered(message.id)
        case MentionOwner.NEVER:
            return False
        case _:
            assert_never(case.group.mention_owner)


async def _said(hands: Hands, relay: _Relay) -> tuple[Sequence[Said], Refused | None]:
    """The lines of the message, the first of which rings and answers."""
    content = relay.message.content
    if not content.media:
        return _words_said(relay), None
    checked = await checked_file(hands, content.media[0])
    if isinstance(checked, Refused):
        return _refused_said(hands, relay, checked), checked
    return [_file_said(relay, checked)], None


def _words_said(relay: _Relay) -> list[Said]:
    message, said = relay.message, []
    for n, part in enumerate(parts_of(message.content)):
        text = render.customer_message(
            relay.words,
            relay.name,
            part.text,
            safe_html(part.html),
            unverified=message.is_unverified,
            edited=message.edited_at,
            late=message.at if message.is_late else None,
            clock=clock_of(relay.case),
            quote=relay.quote if n == 0 else "",
        )
        each = fitted(Said(plain=text.plain, html=text.html, profile=relay.profile))
        said.append(replace(each, mentions=relay.mentions, reply_to=relay.reply_to) if n == 0 else each)
    return said


def _file_said(relay: _Relay, checked: Checked) -> Said:
    message = relay.message
    text = render.attachment_caption(
        relay.words,
        relay.name,
        checked.kind,
        checked.file.name,
        len(checked.file.data),
        caption=message.content.text,
        scanned=checked.is_scanned,
        marks=checked.marks,
        unverified=message.is_unverified,
        edited=message.edited_at,
        clock=clock_of(relay.case),
        quote=relay.quote,
    )
    return Said(
        plain=text.plain,
        html=text.html,
        mentions=relay.mentions,
        profile=relay.profile,
        file=checked.file,
        reply_to=relay.reply_to,
    )


def _refused_said(hands: Hands, relay: _Relay, refused: Refused) -> list[Said]:
    """The words that came with the file are shown although it is not."""
    content = relay.message.content
    name = content.media[0].filename
    text = render.held_back(
        relay.words, relay.name, name, refused.code, limit=hands.max_file_bytes, found=refused.detail
    )
    gap = Said(plain=text.plain, html=text.html, mentions=relay.mentions)
    return [*(_words_said(relay) if content.text else []), gap]


def _deleted(relay: _Relay, gone: str | None) -> Said:
    """It answers the empty place, so that it is seen which of them it was."""
    at = relay.message.edited_at or relay.message.at
    id = "S4.deleted" if gone else "S4.deleted.earlier"
    id = "S4.deleted.file" if relay.message.content.media else id
    text = render.notice(relay.words, id, clock=clock_of(relay.case), name=relay.profile[1], at=at)
    return Said(plain=text.plain, html=text.html, reply_to=gone)


def _copies(hands: Hands, relay: _Relay, events: Sequence[str]) -> list[Trace]:
    return [replace(hands.copy(relay.case, relay.message, event), part=n) for n, event in enumerate(events)]
