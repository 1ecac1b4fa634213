"""Receiving: room keys out of to-device events. Whatever strangers send, nothing escapes and the next event is handled.

A room key belongs to the Olm sender that brought it. The lowest index wins, the Ed25519 key of a session never
changes, forwarded keys and requests for keys are not even looked at (Matrix spec, "Key requests" asks for trust that
we give to nobody)."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import vodozemac

from messenger.app.desk_ports import CryptoRows
from messenger.matrix.crypto.machine import MEGOLM, OlmPayload
from messenger.matrix.crypto.records import InboundSession, RoomSession
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.engine import WITHHELD_CODES, SyncCrypto
from messenger.matrix.suspicion import Suspicion, SuspicionCause
from messenger.matrix.verification.heard import PREFIX, Heard, to_device

log = logging.getLogger(__name__)

MAX_ID_LENGTH = 255
WITHHELD = "m.room_key.withheld"
MAX_WITHHELD_PER_BATCH = 200
SHARED_HISTORY_FLAGS = ("m.shared_history", "org.matrix.msc3061.shared_history")
# We ask nobody for a key, so nobody has a reason to pass one on; and no key travels in clear.
PASSED_ON = frozenset({"m.forwarded_room_key"})
BUNDLES = frozenset({"m.room_key_bundle", "io.element.msc4268.room_key_bundle"})
NEVER_CLEAR = PASSED_ON | BUNDLES | {"m.room_key"}
MALFORMED_ARE_MANY = 3  # one may be a defect of somebody's app


class Forged(ValueError):
    """Somebody claims a key that is not theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    pair: RoomSession
    user_id: str
    code: str


class Receiver:
    """Takes the to-device events of one batch. `dropped` counts, by reason, what was refused."""

    def __init__(self, state: CryptoState) -> None:
        self._state = state
        self.dropped: Counter[str] = Counter()
        self.heard: list[Heard] = []  # of verifications, in the last batch
        self._malformed = 0

    async def take(self, rows: CryptoRows, events: Sequence[Any]) -> set[RoomSession]:
        """Inside `exclusive` and the caller's transaction. Returns the sessions that are known now, or withheld."""
        keys: list[InboundSession] = []
        withheld: list[Withheld] = []
        self.heard = []
        for event in events:
            self._take_one(event, keys, withheld)
        await self._state.load_inbound(rows, [key.pair for key in keys] + [notice.pair for notice in withheld])
        news = {key.pair for key in keys if self._keep(key)}
        return news | {notice.pair for notice in withheld[:MAX_WITHHELD_PER_BATCH] if self._note(notice)}

    def _take_one(self, event: Any, keys: list[InboundSession], withheld: list[Withheld]) -> None:
        try:
            if event["type"] == "m.room.encrypted":
                keys += self._room_keys(event)
            elif event["type"] == WITHHELD:
                withheld += self._withheld(event)
            elif event["type"].startswith(PREFIX):
                self._hear(event)
            elif event["type"] in NEVER_CLEAR:
                self._refuse(event["type"], event.get("sender"), event.get("content"))
        except BaseException as error:  # a panic of the Rust code is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            self._drop(type(error).__name__)
            self._suspect_malformed(event, error)

    def _room_keys(self, event: Mapping[str, Any]) -> Iterable[InboundSession]:
        payload = self._state.machine.open(event)
        if self._state.machine.was_misnamed:
            raise Forged("the message inside names another sender or recipient")
        self._welcome(event["content"]["sender_key"])
        if payload is None:
            self._drop("not_opened")
        elif payload.type == "m.room_key":
            yield self._room_key(payload)
        elif payload.type.startswith(PREFIX):
            self._hear({"type": payload.type, "sender": payload.sender, "content": payload.content})
        elif payload.type in PASSED_ON | BUNDLES:
            self._refuse(payload.type, payload.sender, payload.content)
        elif payload.type != "m.dummy":
            self._drop("unwanted_type")

    def _hear(self, event: Mapping[str, Any]) -> None:
        heard = to_device(event, own=self._state.user_id)
        if heard is None:
            self._drop("malformed_verification")
        else:
            self.heard.append(heard)

    def _welcome(self, sender_key: str) -> None:
        """A device that we could not reach opened a session itself: rooms that go without it look again."""
        if sender_key in self._state.no_session and self._state.machine.newest_session(sender_key) is not None:
            self._state.no_session.discard(sender_key)
            self._state.everybody_changed()

    def _room_key(self, payload: OlmPayload) -> InboundSession:
        content = payload.content
        room_id, session_id = short_text(content["room_id"]), short_text(content["session_id"])
        if content["algorithm"] != MEGOLM:
            raise ValueError("unknown algorithm")
        self._check_claimed_key(payload)
        megolm = vodozemac.InboundGroupSession(vodozemac.SessionKey(content["session_key"]))
        if megolm.session_id != session_id:
            raise ValueError("the key is another session's")
        return InboundSession(
            megolm=megolm,
            room_id=room_id,
            sender_key=payload.sender_key,
            ed25519=payload.ed25519,
            user_id=payload.sender,
            received_ms=int(self._state.clock() * 1000),
            shared_history=any(content.get(flag) is True for flag in SHARED_HISTORY_FLAGS),
        )

    def _check_claimed_key(self, payload: OlmPayload) -> None:
        """The Ed25519 key inside an Olm message is only claimed: it must be the known device's."""
        entry = self._state.users.get(payload.sender)
        device = entry.by_curve25519(payload.sender_key, ed25519=payload.ed25519) if entry else None
        if device is not None and device.ed25519 != payload.ed25519:
            raise Forged("the claimed key is not the device's")

    def _keep(self, new: InboundSession) -> bool:
        old = self._state.inbound[new.pair].get(new.sender_key)
        if old is None:
            if any(not other.imported for other in self._state.inbound[new.pair].values()):
                self._suspect("forged_key", new.user_id, new.room_id)  # a second device brings the same session
            self._state.save_inbound(new)
            return True
        if old.ed25519 != new.ed25519 or (old.user_id or new.user_id) != new.user_id:
            self._drop("other_owner")
            self._suspect("forged_key", new.user_id, new.room_id)
            return False
        return self._merge(old, new)

    def _merge(self, old: InboundSession, new: InboundSession) -> bool:
        """Two copies of one session. One that came from the backup becomes authentic when its sender's copy agrees."""
        if old.imported and not _agree(old.megolm, new.megolm):
            log.error("forged_backup_key", extra={"room_id": new.room_id, "session_id": new.megolm.session_id})
            self._suspect("backup_key", self._state.user_id, new.room_id)
            self._state.replace_inbound(new)
            return True
        new.shared_history |= old.shared_history
        if new.megolm.first_known_index < old.megolm.first_known_index:
            self._state.save_inbound(new)
            return True
        if old.imported:
            old.imported, old.user_id = False, new.user_id
            self._state.save_inbound(old)
            return True
        return False

    def _withheld(self, event: Mapping[str, Any]) -> Iterable[Withheld]:
        content, sender, code = event["content"], short_text(event["sender"]), short_text(event["content"]["code"])
        if code == "m.no_olm":
            # They could not open an Olm session with us: we open one (Matrix spec, "m.room_key.withheld").
            self._state.machine.wedged.add((sender, short_text(content["sender_key"])))
        if "room_id" in content or code != "m.no_olm":
            pair = short_text(content["room_id"]), short_text(content["session_id"])
            yield Withheld(pair=pair, user_id=sender, code=code if code in WITHHELD_CODES else "unknown")

    def _note(self, notice: Withheld) -> bool:
        """The first word holds: nobody makes the team hear one reason after another."""
        if self._state.inbound[notice.pair] or notice.user_id in self._state.withheld.get(notice.pair, {}):
            return False
        self._state.save_withheld(notice.pair, notice.user_id, notice.code)
        return True

    def _refuse(self, kind: str, sender: Any, content: Any) -> None:
        """Keys that somebody passes on. Of the past of a room only who invites us may, and we do not need it."""
        self._drop("unwanted_type")
        room_id = content.get("room_id") if isinstance(content, Mapping) else None
        self._suspect("forged_history" if kind in BUNDLES else "forged_key", sender, room_id)

    def _suspect_malformed(self, event: Any, error: BaseException) -> None:
        sender = event.get("sender") if isinstance(event, Mapping) else None
        if isinstance(error, Forged):
            self._suspect("forged_key", sender)
        else:
            self._malformed += 1
            if self._malformed >= MALFORMED_ARE_MANY:
                self._suspect("malformed_keys", sender)

    def _suspect(self, cause: SuspicionCause, user: Any, room_id: Any = None) -> None:
        found = Suspicion(cause=cause, room=next(iter(as_set(room_id)), ""), user=next(iter(as_set(user)), ""))
        self._state.suspicions.add(found)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1
        log.debug("to_device_dropped", extra={"reason": reason})


def senders_of(events: Sequence[Any]) -> tuple[set[str], set[str]]:
    """(user ids, Curve25519 keys) of the Olm messages in a batch, and of those who could send none: what must be loaded
    to open them, or to open a session."""
    users, keys = set(), set()
    for event, content in _to_device(events):
        if event.get("type") in ("m.room.encrypted", WITHHELD):
            users |= as_set(event.get("sender"))
            keys |= as_set(content.get("sender_key"))
    return users, keys


def without_session(events: Sequence[Any]) -> set[str]:
    """Users whose app has found no way to open an Olm session with us: of whom we must know devices to open one."""
    said = ((event, content) for event, content in _to_device(events) if event.get("type") == WITHHELD)
    users = (as_set(event.get("sender")) for event, content in said if content.get("code") == "m.no_olm")
    return set().union(*islice(users, MAX_WITHHELD_PER_BATCH))


def _to_device(events: Sequence[Any]) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The events that have a content, with it."""
    for event in events:
        content = event.get("content") if isinstance(event, Mapping) else None
        if isinstance(content, Mapping):
            yield event, content


def sessions_of(batch: SyncCrypto) -> set[RoomSession]:
    """The Megolm sessions that the room events of a batch name."""
    contents = ((room, event.get("content")) for room, event in batch.events if isinstance(event, Mapping))
    return {
        (room, session)
        for room_id, content in contents
        if isinstance(content, Mapping)
        for room in as_set(room_id)
        for session in as_set(content.get("session_id"))
    }


def authors_of(batch: SyncCrypto) -> set[str]:
    return {user for _, event in batch.events if isinstance(event, Mapping) for user in as_set(event.get("sender"))}


def _agree(old: vodozemac.InboundGroupSession, new: vodozemac.InboundGroupSession) -> bool:
    index = max(old.first_known_index, new.first_known_index)
    mine, theirs = old.export_at(index), new.export_at(index)
    return mine is not None and theirs is not None and mine.to_base64() == theirs.to_base64()


def short_text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH or "\0" in value:
        raise ValueError("not an identifier")
    value.encode()  # a lone surrogate cannot be stored
    return value


def as_set(value: Any) -> set[str]:
    """The value as a set of one if it is a usable identifier, else nothing."""
    try:
        return {short_text(value)}
    except ValueError:
        return set()
