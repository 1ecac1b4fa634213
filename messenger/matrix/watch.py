"""What the sync loop notices of a dishonest homeserver: pure looks at events and at changes of a room's state, a book
of the numbers that each sender's messages have.

Our own rooms are those that we make: nobody else decides there how it is encrypted or who may come in. What a customer
does with theirs is the customer's."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from messenger.app.desk_ports import MegolmSession, RoomState
from messenger.matrix.batch import as_dict, as_text
from messenger.matrix.engine import Decrypted
from messenger.matrix.room_state import MEGOLM
from messenger.matrix.suspicion import Suspicion, SuspicionCause
from messenger.matrix.verification.heard import is_verification

OURS = frozenset({"group", "case", "direct"})
_MALFORMED = frozenset({"malformed", "malformed_plaintext", "broken_ciphertext", "too_large", "other_relation"})
_IN_CLEAR = frozenset({"m.room.message", "m.sticker"})
_WORDS = _IN_CLEAR | {"m.room.encrypted"}
_CLOSED = frozenset({"invite", "private"})
REMEMBERED = 10_000
TOLD_AGAIN_S = 3600.0


def is_deleted(event: Mapping[str, Any]) -> bool:
    """Somebody deleted it before we came to read it: nothing is left that could be opened."""
    return event["type"] in _WORDS and not event["content"] and "state_key" not in event


def of_event(room: RoomState, event: Mapping[str, Any], opened: Decrypted | None, *, own: str) -> Suspicion | None:
    """One event of a timeline. What bears our own name and an old device's key may be ours, from before a loss."""
    cause: SuspicionCause | None = None
    if opened is None:
        is_said = event["type"] in _IN_CLEAR and "state_key" not in event and not is_verification(event, None)
        cause = "clear_words" if room.encrypted and is_said else None
    elif event["sender"] == own:
        cause = None
    elif opened.state == "quarantine":
        cause = "foreign_words"
    elif opened.state == "undecryptable" and opened.reason in _MALFORMED:
        cause = "malformed"
    return Suspicion(cause=cause, room=room.room_id, user=event["sender"]) if cause else None


def of_state(before: RoomState, after: RoomState, state: Iterable[Mapping[str, Any]], *, own: str) -> list[Suspicion]:
    """What the room's new state tries. `before` is what we knew; without it nothing was changed."""
    found = []
    for event in state:
        if event.get("state_key") != "":
            continue
        content = as_dict(event["content"])
        if (cause := _of_rule(before, after, event["type"], content)) is not None:
            user = own if cause == "encryption_off" else event["sender"]
            found.append(Suspicion(cause=cause, room=after.room_id, user=user))
    return found


def _of_rule(before: RoomState, after: RoomState, type: str, content: Mapping[str, Any]) -> SuspicionCause | None:
    is_ours = before.use in OURS
    match type:
        case "m.room.encryption" if after.algorithm != MEGOLM:
            return "encryption_off"
        case "m.room.encryption" if before.encrypted and content.get("algorithm") != MEGOLM:
            return "encryption_kept"
        case "m.room.history_visibility" if is_ours and content.get("history_visibility") == "world_readable":
            return "room_opened"
        case "m.room.join_rules" if is_ours and as_text(content.get("join_rule")) not in _CLOSED:
            return "room_opened"
        case _:
            return None


def is_encrypted_again(before: RoomState, after: RoomState) -> bool:
    return before.encrypted and before.algorithm != MEGOLM and after.algorithm == MEGOLM


class Told:
    """Whom we have told of what lately: a flood of one kind is one word an hour."""

    def __init__(self) -> None:
        self._at: OrderedDict[Suspicion, float] = OrderedDict()

    def fresh(self, found: Iterable[Suspicion], now: float) -> list[Suspicion]:
        """`now` in seconds, monotonic."""
        each = dict.fromkeys(found)
        return [one for one in each if now - self._at.get(one, -TOLD_AGAIN_S) >= TOLD_AGAIN_S]

    def note(self, told: Iterable[Suspicion], now: float) -> None:
        for one in told:
            self._at[one] = now
            self._at.move_to_end(one)
        while len(self._at) > REMEMBERED:
            self._at.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """One message that was opened: its place among those of its session."""

    session: MegolmSession
    index: int
    first: int | None  # of those that were for us
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Numbers `first` to `last` of a session have not come, though a later one has."""

    session: MegolmSession
    user: str
    first: int
    last: int


class Numbers:
    """Which number each session's next message has. A homeserver that keeps a message back cannot hide that its number
    is missing as soon as the sender says more."""

    def __init__(self) -> None:
        self._next: OrderedDict[MegolmSession, int] = OrderedDict()
        self._deleted: Counter[tuple[str, str]] = Counter()

    def excuse(self, room: str, user: str) -> None:
        """A message that was deleted before it was read tells no number."""
        if len(self._deleted) < REMEMBERED:
            self._deleted[room, user] += 1

    def unknown(self, seen: Sequence[Numbered]) -> Collection[MegolmSession]:
        return {each.session for each in seen} - self._next.keys()

    def gaps(self, seen: Sequence[Numbered], last_known: Mapping[MegolmSession, int]) -> list[Gap]:
        """`last_known` are the highest numbers that were taken before, of sessions that are `unknown` here."""
        by_session: dict[MegolmSession, list[Numbered]] = {}
        for each in seen:
            by_session.setdefault(each.session, []).append(each)
        found = []
        for session, messages in by_session.items():
            found += self._gaps_of(session, messages, last_known.get(session))
        return [gap for gap in found if not self._is_excused(gap)]

    def _is_excused(self, gap: Gap) -> bool:
        who, size = (gap.session[0], gap.user), gap.last - gap.first + 1
        if size > self._deleted[who]:
            return False
        self._deleted[who] -= size
        return True

    def _gaps_of(self, session: MegolmSession, messages: Sequence[Numbered], last_known: int | None) -> list[Gap]:
        numbers, found = sorted({each.index for each in messages}), []
        after = last_known + 1 if last_known is not None else messages[0].first
        due = self._next.get(session, numbers[0] if after is None else after)
        for number in numbers:
            if number > due:
                found.append(Gap(session=session, user=messages[0].user, first=due, last=number - 1))
            due = max(due, number + 1)
        self._next[session] = due
        self._next.move_to_end(session)
        while len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return found

    def forget(self) -> None:
        """What was noted since may not be committed; the database knows."""
        self._next.clear()
