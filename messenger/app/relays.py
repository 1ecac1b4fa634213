"""A customer's message on its way into the thread."""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from messenger.app.effects.thread import RelayFile, RelayToThread
from messenger.app.erased import must_be_readable
from messenger.app.files import checked_file
from messenger.app.hands import Hands
from messenger.app.message_parts import APART, part_txn
from messenger.app.outcome import NOTHING, Outcome, ended, waits_for_scanner
from messenger.app.outside_ports import ScannerAway
from messenger.app.ports import UnitOfWork
from messenger.app.records import Case, StoredMessage, Trace
from messenger.app.relay_texts import Relay, answering, file_said, refused_said, relay_said, words_said
from messenger.domain.attachment import Refused
from messenger.domain.ids import MessageId
from messenger.domain.people import MentionOwner
from messenger.i18n import texts


async def relay_to_thread(hands: Hands, effect: RelayToThread, txn: str) -> Outcome:
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        must_be_readable(message)
        relay = Relay(case=case, message=message, words=texts(case.group.language))
        relay = replace(await answering(unit, relay), rings=await _rings_owner(unit, case, message))
    if effect.is_words_only:
        return Outcome(traces=await _words_ahead(hands, relay, txn))
    try:
        said, refused = await relay_said(hands, relay)
    except ScannerAway:
        return Outcome(traces=await _words_ahead(hands, relay, txn), items=[waits_for_scanner(effect, txn)])
    events = [await hands.post(case, each, part_txn(txn, n)) for n, each in enumerate(said)]
    return Outcome(traces=_copies(hands, relay, events), items=[ended(effect, txn, refused.code)] if refused else [])


async def _words_ahead(hands: Hands, relay: Relay, txn: str) -> Sequence[Trace]:
    said = words_said(relay) if relay.message.content.text else []
    events = [await hands.post(relay.case, each, part_txn(f"{txn}w", n)) for n, each in enumerate(said)]
    return [replace(trace, part=APART + trace.part) for trace in _copies(hands, relay, events)]


async def relay_file(hands: Hands, effect: RelayFile, txn: str) -> Outcome:
    """The file for which the scanner had to be waited. Raises ScannerAway: it waits on."""
    async with hands.units.look() as unit:
        case, message = await unit.conversations.case_of(MessageId(effect.message))
        if message.is_deleted:
            return NOTHING
        must_be_readable(message)
        relay = Relay(case=case, message=message, words=texts(case.group.language))
        copies = await unit.messages.copies_of(message.id)
        relay = _behind_words(relay, copies) if copies else await answering(unit, relay)
    checked = await checked_file(hands, message.content.media[0], patience_s=None)
    if isinstance(checked, Refused):
        (said,) = refused_said(hands, _without_words(relay), checked)
    else:
        said = file_said(relay, checked)
    event = await hands.post(case, said, effect.sent_as)
    items = [ended(effect, txn, checked.code)] if isinstance(checked, Refused) else []
    return Outcome(traces=_copies(hands, relay, [event]), items=items)


def _behind_words(relay: Relay, copies: Sequence[Trace]) -> Relay:
    """They have been said and have rung; the file answers them where they stand in the same room."""
    there = [copy.remote_id for copy in copies if copy.room == relay.case.room]
    return replace(_without_words(relay), rings=False, reply_to=there[0] if there else None)


def _without_words(relay: Relay) -> Relay:
    content = replace(relay.message.content, text="", html="")
    return replace(relay, message=replace(relay.message, content=content, edited_at=None))


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


def _copies(hands: Hands, relay: Relay, events: Sequence[str]) -> list[Trace]:
    return [replace(hands.copy(relay.case, relay.message, event), part=n) for n, event in enumerate(events)]
