"""The resume pack: what a colleague who was not there needs to go on, in one message. The transcript and the files, for
people who cannot scroll back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from messenger.app import render, render_packs
from messenger.app.effects.thread import PostPack, ShowFiles, ShowFilesLater, ShowHistory, ShowTranscript
from messenger.app.erased import customer_name
from messenger.app.files import INLINE_S, checked_file
from messenger.app.hands import Hands, clock_of
from messenger.app.message_parts import fitted
from messenger.app.outcome import NOTHING, Outcome, waits_for_scanner
from messenger.app.outside_ports import ScannerAway
from messenger.app.ports import UnitOfWork
from messenger.app.records import Case, File, Place, PlaceRow, Said, StoredMessage
from messenger.domain import events as e
from messenger.domain.attachment import Refused
from messenger.domain.events import Recorded
from messenger.domain.ids import AgentId, ConversationId, GroupId, MessageId
from messenger.domain.replies import Fate
from messenger.i18n import Texts, texts
from messenger.observability.failpoints import fp

LAST, ALL = 5, 2_000
# What the customer does not have must not look like an answer, also when it was meant to be one.
_INSIDE = (Fate.KEPT, Fate.HELD, Fate.FAILED)
STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What a pack is made of, read in one unit."""

    case: Case
    log: Sequence[Recorded]
    messages: Sequence[StoredMessage]
    files: Sequence[StoredMessage]
    places: Sequence[PlaceRow]
    names: dict[AgentId, str]
    groups: dict[GroupId, str]
    note: StoredMessage | None


async def post_pack(hands: Hands, effect: PostPack, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        past = await _past(unit, ConversationId(effect.conversation), LAST)
    words = texts(past.case.group.language)
    view = replace(_view(hands, past, effect.cause, effect.by, words), follows=await hands.earlier(past.case))
    text = render_packs.pack(words, view)
    rings = [past.case.owner.address] if past.case.owner else []
    await hands.post(past.case, fitted(Said(plain=text.plain, html=text.html, mentions=rings)), txn)
    fp("pack_posted")
    return NOTHING


async def show_files(hands: Hands, effect: ShowFiles, txn: str) -> Outcome:
    """Each once more. One that cannot be fetched any more is named in the pack; it is not announced again. What is said
    meanwhile does not wait for the virus scanner."""
    try:
        return await _show_each(hands, effect, txn, patience_s=INLINE_S)
    except ScannerAway:
        return Outcome(items=[waits_for_scanner(effect, txn)])


async def show_files_later(hands: Hands, effect: ShowFilesLater, txn: str) -> Outcome:
    """Under the first row's transactions, so that none is shown twice. Raises ScannerAway: they wait on."""
    return await _show_each(hands, effect, effect.sent_as, patience_s=None)


async def _show_each(hands: Hands, effect: ShowFiles, txn: str, *, patience_s: float | None) -> Outcome:
    async with hands.units.look() as unit:
        past = await _past(unit, ConversationId(effect.conversation), LAST)
    words = texts(past.case.group.language)
    for message in past.files:
        checked = await checked_file(hands, message.content.media[0], patience_s=patience_s)
        if isinstance(checked, Refused):
            continue
        size = len(checked.file.data)
        text = render.attachment_caption(
            words,
            _author(past, message, words),
            checked.kind,
            checked.file.name,
            size,
            caption=message.content.text,
            scanned=checked.is_scanned,
            marks=checked.marks,
        )
        said = Said(plain=text.plain, html=text.html, file=checked.file)
        # By its message, not by its number: others may be gone, or have come, when those that waited are shown.
        await hands.post(past.case, said, f"{txn}f{message.id.hex}")
    return NOTHING


async def show_history(hands: Hands, effect: ShowHistory, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        past = await _past(unit, ConversationId(effect.conversation), effect.most)
        reader = await unit.people.agent(AgentId(effect.reader))
    words = texts(reader.language)
    text = render_packs.history(words, [_line(past, message, words) for message in past.messages])
    said = fitted(Said(plain=text.plain, html=text.html, is_notice=True))
    if effect.room:
        await hands.say(Place(room=effect.room), said, txn=txn, policy=past.case.group.device_policy)
    else:
        await hands.post(past.case, said, txn)
    return NOTHING


async def show_transcript(hands: Hands, effect: ShowTranscript, txn: str) -> Outcome:
    """Only where the pack does not hold it all."""
    async with hands.units.look() as unit:
        past = await _past(unit, ConversationId(effect.conversation), ALL)
    if len(past.messages) <= LAST:
        return NOTHING
    words = texts(past.case.group.language)
    lines = [_line(past, message, words) for message in past.messages]
    data = "\n".join(f"{line.at} {line.who}: {line.text}" for line in lines).encode()
    name = f"{past.case.conversation.number}.txt"
    file = File(data=data[: hands.max_file_bytes], name=name, mime="text/plain", type="m.file")
    text = render.notice(words, "S20.transcript", n=len(lines))
    await hands.post(past.case, Said(plain=text.plain, html=text.html, file=file), txn)
    return NOTHING


async def _past(unit: UnitOfWork, id: ConversationId, most: int) -> _Past:
    case, log = await unit.conversations.case(id), await unit.conversations.history(id)
    messages, files = await unit.messages.latest(id, most), await unit.messages.with_files(id)
    people = {author for message in [*messages, *files] if (author := message.author)} | _people_in(log)
    return _Past(
        case=case,
        log=log,
        places=await unit.conversations.places(id),
        messages=messages,
        files=files,
        names={each: (await unit.people.agent(each)).name for each in sorted(people, key=str)},
        groups={group.id: group.name for group in await unit.people.groups()},
        note=await _last_note(unit, log),
    )


def _people_in(log: Sequence[Recorded]) -> set[AgentId]:
    named = (getattr(entry.event, field, None) for entry in log for field in ("agent", "by", "owner"))
    return {AgentId(each) for each in named if each is not None}


async def _last_note(unit: UnitOfWork, log: Sequence[Recorded]) -> StoredMessage | None:
    """The comment or reason of the newest step that has one."""
    notes = [note for entry in log if (note := getattr(entry.event, "note", None))]
    return await unit.messages.get(MessageId(notes[-1])) if notes else None


def _view(hands: Hands, past: _Past, cause: str, by: UUID | None, words: Texts) -> render_packs.PackView:
    conversation, clock = past.case.conversation, clock_of(past.case)
    return render_packs.PackView(
        ref=conversation.number,
        cause=cause,
        owner=past.case.owner.name if past.case.owner else "",
        by=past.names.get(AgentId(by), "") if by else "",
        rested=_rested(past.log, clock.now),
        steps=[step for entry in past.log if (step := _step(past, entry))][-STEPS:],
        note=past.note.content.text if past.note else "",
        open_point=_open_point(past),
        earlier=_earlier(hands, past),
        files=[message.content.media[0].filename for message in past.files],
        last=[_line(past, message, words) for message in _said_last(past)],
        clock=clock,
    )


def _rested(log: Sequence[Recorded], now: datetime) -> float:
    """Seconds since something happened before what happened just now."""
    times = [entry.at for entry in log]
    earlier = [at for at in times if at < times[-1]]
    return (times[-1] - earlier[-1]).total_seconds() if earlier else 0.0


def _step(past: _Past, entry: Recorded) -> render_packs.Step | None:
    """What a colleague wants to know of the past, in the order of events."""
    match entry.event:
        case e.ConversationOpened():
            return render_packs.Step("opened", entry.at)
        case e.ConversationClaimed(agent=agent):
            return render_packs.Step("claimed", entry.at, who=past.names.get(agent, ""))
        case e.ConversationAssigned(agent=agent):
            return render_packs.Step("assigned", entry.at, who=past.names.get(agent, ""))
        case e.ConversationTransferred(to_group=group, by=by):
            return render_packs.Step(
                "transferred", entry.at, who=past.names.get(by, ""), group=past.groups.get(group, "")
            )
        case e.ConversationPaused(by=by):
            return render_packs.Step("paused", entry.at, who=past.names.get(by, ""))
        case e.ConversationResumed(by=by):
            who = past.names.get(by, "") if by else ""
            return render_packs.Step("resumed_by" if who else "resumed", entry.at, who=who)
        case e.ConversationResolved(by=by):
            return render_packs.Step("resolved", entry.at, who=past.names.get(by, "") if by else "")
        case e.ConversationReopened():
            return render_packs.Step("reopened", entry.at)
        case _:
            return None


def _earlier(hands: Hands, past: _Past) -> str:
    """Where it was before, if that is another thread."""
    if len(past.places) < 2:
        return ""
    return hands.desk.link(past.places[-2].place)


def _open_point(past: _Past) -> str:
    """What the customer said last, while it waits for our answer."""
    if past.case.conversation.waiting_since is None:
        return ""
    said = [message.content.text for message in past.messages if message.author is None and message.content.text]
    return said[-1] if said else ""


def _said_last(past: _Past) -> Sequence[StoredMessage]:
    """Without the comment that stands above already."""
    return [message for message in past.messages[-LAST:] if past.note is None or message.id != past.note.id]


def _line(past: _Past, message: StoredMessage, words: Texts) -> render_packs.PastLine:
    media, stayed = message.content.media, message.fate in _INSIDE
    text = message.content.text or (f"[{media[0].filename}]" if media else "")
    if message.is_erased:
        text = words.plain("S4.erased")
    return render_packs.PastLine(
        at=render.say_time(words, message.at, clock_of(past.case)),
        who=_author(past, message, words),
        text=text.lstrip("/ ") if stayed else text,
        side="customer" if message.author is None else "note" if stayed else "answer",
    )


def _author(past: _Past, message: StoredMessage, words: Texts) -> str:
    if message.author is not None:
        return past.names.get(message.author, words.plain("label.nobody"))
    return render.shown_name(
        words, message.speaker or customer_name(words, past.case.chat), unverified=message.is_unverified
    )
