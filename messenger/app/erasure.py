"""Erasing a person, or what was said in one conversation: steps that are each done before they are noted, so that a
process that dies repeats its last one.

The order is the guarantee. What must be found later is written down while it can still be read; the ledger knows of the
erasure before anything is destroyed; then the key goes, and with it every copy of the words under it; only then the
places where they lie are cleaned, which takes longer and may have to wait for a homeserver."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from messenger.app.certificates import certificate
from messenger.app.erasure_ports import Ended, Erasure, ErasureHands, ErasureRooms, Target, TargetKind
from messenger.observability.failpoints import fp

AT_ONCE, MOST = 8, 200
_Step = Callable[[ErasureHands, Erasure, datetime], Awaitable[None]]

OF_PERSON = (
    "block", "plan", "ledger", "key", "rows", "look", "redact", "media", "leave", "room_keys", "sweep", "certify",
)  # fmt: skip
OF_CONVERSATION = ("plan", "rows", "look", "redact", "media", "certify")
AT_HOMESERVER = frozenset({"look", "redact", "media", "room_keys", "leave"})


def steps_of(erasure: Erasure) -> tuple[str, ...]:
    return OF_PERSON if erasure.conversation is None else OF_CONVERSATION


async def take_step(hands: ErasureHands, erasure: Erasure, now: datetime) -> str | None:
    """Does the next step and notes it. Returns the one after it; None: that was the last. Raises NotNow."""
    await _STEPS[erasure.step](hands, erasure, now)
    steps = steps_of(erasure)
    if erasure.step == steps[-1]:
        return None
    following = steps[steps.index(erasure.step) + 1]
    await hands.rows.advance(erasure, following)
    return following


def needs_homeserver(erasure: Erasure) -> bool:
    return erasure.step in AT_HOMESERVER


async def _block(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await hands.rows.block(erasure)
    fp("erasure_blocked")


async def _plan(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await hands.rows.plan(erasure)
    fp("erasure_planned")


async def _ledger(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    assert erasure.subject is not None, "a person has a pseudonym"
    entry = await asyncio.to_thread(hands.ledger.add, erasure.subject, erasure.scope, now)
    fp("ledger_written")
    await hands.rows.note_ledger(erasure, entry.position)


async def _key(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    if erasure.contact is not None:
        await hands.keyring.destroy(erasure.contact)
    fp("subject_key_destroyed")


async def _rows(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await hands.rows.remove_rows(erasure)
    fp("erasure_rows_removed")


async def _look(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    """Also what we have never noted: edits, packs, commands, what colleagues said in the thread."""
    while targets := await hands.rows.open_targets(erasure, ("thread", "room", "message"), most=1):
        found = await _rooms(hands).look(targets[0])
        place, room = targets[0].place, targets[0].room
        events = [Target(kind="event", place=place, room=room, subject=event) for event in found.events]
        media = [Target(kind="media", place=place, subject=address) for address in found.media]
        await hands.rows.add_targets(erasure, [*events, *media])
        fp("erasure_looked")
        code = f"foreign:{','.join(found.foreign_servers)}" if found.foreign_servers else ""
        await hands.rows.end_targets(erasure, [Ended(target=targets[0], fate="done", code=code)])


async def _redact(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await _end_all(hands, erasure, "event", _rooms(hands).redact)
    fp("erasure_redacted")


async def _media(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await _end_all(hands, erasure, "media", _rooms(hands).remove_media)
    fp("erasure_media_removed")


async def _end_all(
    hands: ErasureHands, erasure: Erasure, kind: TargetKind, end: Callable[[Target], Awaitable[Ended]]
) -> None:
    """What has ended is noted, also when another one has to wait."""
    while targets := await hands.rows.open_targets(erasure, (kind,), most=MOST):
        for start in range(0, len(targets), AT_ONCE):
            results = await asyncio.gather(
                *(end(target) for target in targets[start : start + AT_ONCE]), return_exceptions=True
            )
            await hands.rows.end_targets(erasure, [each for each in results if isinstance(each, Ended)])
            for each in results:
                if isinstance(each, BaseException):
                    raise each
            fp(f"erasure_{kind}s_ended")


async def _room_keys(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    rooms, people = await hands.rows.rooms_of(erasure), await hands.rows.person_of(erasure)
    await _rooms(hands).forget_keys(rooms, people)
    fp("erasure_room_keys_forgotten")


async def _leave(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    while targets := await hands.rows.open_targets(erasure, ("leave",), most=1):
        await _rooms(hands).leave(targets[0].room)
        fp("erasure_left")
        await hands.rows.end_targets(erasure, [Ended(target=targets[0], fate="done")])


async def _sweep(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    await hands.rows.sweep(erasure)
    fp("erasure_swept")


async def _certify(hands: ErasureHands, erasure: Erasure, now: datetime) -> None:
    """The places' counts outlive the ids that were counted."""
    signed = certificate(hands, erasure, await hands.rows.counts(erasure), now)
    await hands.rows.finish(erasure, signed)
    fp("erasure_certified")


def _rooms(hands: ErasureHands) -> ErasureRooms:
    assert hands.rooms is not None, "this step waits for the desk"
    return hands.rooms


_STEPS: Mapping[str, _Step] = {
    "block": _block,
    "plan": _plan,
    "ledger": _ledger,
    "key": _key,
    "rows": _rows,
    "look": _look,
    "redact": _redact,
    "media": _media,
    "room_keys": _room_keys,
    "leave": _leave,
    "sweep": _sweep,
    "certify": _certify,
}
