"""One verification, without I/O: messages in, steps out. Nothing in a message is trusted and nothing in it can raise:
whatever does not fit ends this one verification with the code that the spec has for it.

    they ask:   request → we: ready → start → we: accept → key → we: key, MAC → MAC → we: done → done
    we ask:     we: request → ready → we: start → accept → we: key → key → we: MAC → MAC → we: done → done

Whoever starts is free in both: if both do, the smaller (user id, device id) wins (Matrix spec v1.16, "Key verification
framework"). It lives in memory: a process that ends takes its verifications with it, and the one that follows tells the
other app `m.unknown_transaction`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import vodozemac

from messenger.matrix.verification import sas
from messenger.matrix.verification.sas import PublicKeys, ShortString, Side

LASTS_S = 600.0
UNKNOWN = "m.unknown_transaction"
MAX_TEXT = 255
CANCEL_REASONS = {
    "m.timeout": "it took too long",
    UNKNOWN: "it was begun before a restart",
    "m.unknown_method": "no common way to verify",
    "m.unexpected_message": "this message does not belong here",
    "m.key_mismatch": "the keys do not match",
    "m.invalid_message": "the message is malformed",
    "m.mismatched_commitment": "the commitment does not match",
    "m.accepted": "another device has accepted",
    "m.user": "declined",
}
Phase = Literal["asked", "ready", "started", "accepted", "key_sent", "shown", "proved", "over"]


@dataclass(frozen=True, slots=True)
class Say:
    """To the other side: `m.key.verification.` + `kind`."""

    kind: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Show:
    """For people to compare."""

    short_string: ShortString


@dataclass(frozen=True, slots=True)
class Finished:
    """The other side has proved its device's key, and its master key if it named one. Whether people have looked on
    our side, too, is another question."""

    device_id: str
    master: str | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    code: str
    by_us: bool


Step = Say | Show | Finished | Cancelled


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Dialog:
    """`id` is the request's event id in a room, its transaction id between devices. `theirs` names no device as long as
    only we have asked. `keys` must be there before a MAC is received."""

    def __init__(self, *, id: str, ours: Side, theirs: Side, room: str | None, began_at: float, we_asked: bool) -> None:
        self.id, self.ours, self.theirs, self.room, self.began_at = id, ours, theirs, room, began_at
        self.we_asked, self.phase = we_asked, "asked" if we_asked else "ready"
        self.keys: PublicKeys | None = None
        self.short_string: ShortString | None = None
        self._about = {"m.relates_to": {"rel_type": "m.reference", "event_id": id}} if room else {"transaction_id": id}
        self._start: Mapping[str, Any] = {}
        self._sas, self._commitment = vodozemac.Sas(), ""
        self._secret: vodozemac.EstablishedSas | None = None
        self._master: str | None = None

    phase: Phase

    @property
    def is_over(self) -> bool:
        return self.phase == "over"

    def agree(self) -> Sequence[Step]:
        """The answer to their request."""
        return [self._say("ready", **offer(self.ours))]

    def receive(self, kind: str, content: Mapping[str, Any]) -> Sequence[Step]:
        if self.is_over:
            return []
        try:
            return self._meant_by(kind)(content)
        except _Refused as refused:
            return self.cancel(refused.code)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return self.cancel("m.invalid_message")

    def cancel(self, code: str) -> Sequence[Step]:
        self.phase = "over"
        said = self._say("cancel", code=code, reason=CANCEL_REASONS.get(code, code))
        return [said, Cancelled(code, by_us=True)]

    def expire(self, now: float) -> Sequence[Step]:
        return [] if self.is_over or now - self.began_at < LASTS_S else self.cancel("m.timeout")

    def _meant_by(self, kind: str) -> Callable[[Mapping[str, Any]], Sequence[Step]]:
        match self.phase, kind:
            case _, "cancel":
                return self._they_cancelled
            case "asked", "ready":
                return self._they_are_ready
            case (("ready" | "started"), "start"):
                return self._they_start
            case "started", "accept":
                return self._they_accept
            case (("accepted" | "key_sent"), "key"):
                return self._their_key
            case "shown", "mac":
                return self._their_proof
            case "proved", "done":
                return self._they_are_done
            case _:
                raise _Refused("m.unexpected_message")

    def _they_cancelled(self, content: Mapping[str, Any]) -> Sequence[Step]:
        self.phase, code = "over", content.get("code")
        return [Cancelled(code if isinstance(code, str) and len(code) <= MAX_TEXT else "m.user", by_us=False)]

    def _they_are_ready(self, content: Mapping[str, Any]) -> Sequence[Step]:
        if sas.METHOD not in _texts(content["methods"]):
            raise _Refused("m.unknown_method")
        self.theirs = Side(user_id=self.theirs.user_id, device_id=_text(content["from_device"]))
        self.phase = "ready"
        return self.start()

    def start(self) -> Sequence[Step]:
        """Only when both are ready."""
        assert self.phase == "ready"
        said = self._say(
            "start",
            from_device=self.ours.device_id,
            method=sas.METHOD,
            key_agreement_protocols=[sas.KEY_AGREEMENT],
            hashes=[sas.HASH],
            message_authentication_codes=[sas.MAC],
            short_authentication_string=list(sas.SHORT_STRINGS),
        )
        self.phase, self._start = "started", said.content
        return [said]

    def _they_start(self, content: Mapping[str, Any]) -> Sequence[Step]:
        if _text(content["from_device"]) != self.theirs.device_id:
            raise _Refused("m.invalid_message")
        if content["method"] != sas.METHOD:
            raise _Refused("m.unknown_method")
        if self.phase == "started" and _order(self.ours) < _order(self.theirs):
            return []  # both have started, and ours counts
        for name, ours in (
            ("key_agreement_protocols", sas.KEY_AGREEMENT),
            ("hashes", sas.HASH),
            ("message_authentication_codes", sas.MAC),
            ("short_authentication_string", "decimal"),
        ):
            if ours not in _texts(content[name]):
                raise _Refused("m.unknown_method")
        shared = [each for each in sas.SHORT_STRINGS if each in content["short_authentication_string"]]
        self.phase, self._start = "accepted", content
        accepted = self._say(
            "accept",
            method=sas.METHOD,
            key_agreement_protocol=sas.KEY_AGREEMENT,
            hash=sas.HASH,
            message_authentication_code=sas.MAC,
            short_authentication_string=shared,
            commitment=sas.commitment(self._our_key, content),
        )
        return [accepted]

    def _they_accept(self, content: Mapping[str, Any]) -> Sequence[Step]:
        chosen = (content["key_agreement_protocol"], content["hash"], content["message_authentication_code"])
        shown = _texts(content["short_authentication_string"])
        if chosen != (sas.KEY_AGREEMENT, sas.HASH, sas.MAC) or not shown or not set(shown) <= set(sas.SHORT_STRINGS):
            raise _Refused("m.unknown_method")
        self._commitment, self.phase = _text(content["commitment"]).rstrip("="), "key_sent"
        return [self._say("key", key=self._our_key)]

    def _their_key(self, content: Mapping[str, Any]) -> Sequence[Step]:
        key, we_started = _text(content["key"]), self.phase == "key_sent"
        if we_started and sas.commitment(key, self._start) != self._commitment:
            raise _Refused("m.mismatched_commitment")
        self._secret = self._sas.diffie_hellman(vodozemac.Curve25519PublicKey.from_base64(key))
        starter, accepter = ((self.ours, self._our_key), (self.theirs, key))[:: 1 if we_started else -1]
        self.short_string = sas.short_string(
            self._secret,
            starter=starter[0],
            starter_key=starter[1],
            accepter=accepter[0],
            accepter_key=accepter[1],
            id=self.id,
        )
        self.phase = "shown"
        told = [] if we_started else [self._say("key", key=self._our_key)]
        return [*told, Show(self.short_string)]

    def prove(self, keys: Mapping[str, str]) -> Sequence[Step]:
        """Our MAC over these keys (key id -> public key). It may go at once: see the package's first lines."""
        assert self._secret is not None
        return [self._say("mac", **sas.proof(self._secret, keys, sender=self.ours, receiver=self.theirs, id=self.id))]

    def _their_proof(self, content: Mapping[str, Any]) -> Sequence[Step]:
        if self.keys is None or self._secret is None:
            raise _Refused("m.key_mismatch")
        try:
            self._master = sas.check_proof(
                self._secret, content, self.keys, sender=self.theirs, receiver=self.ours, id=self.id
            )
        except sas.MacMismatch:
            raise _Refused("m.key_mismatch") from None
        self.phase = "proved"
        return [self._say("done")]

    def _they_are_done(self, content: Mapping[str, Any]) -> Sequence[Step]:
        self.phase = "over"
        return [Finished(self.theirs.device_id, self._master)]

    @property
    def _our_key(self) -> str:
        return str(self._sas.public_key.to_base64())

    def _say(self, kind: str, **content: Any) -> Say:
        return Say(kind, {**content, **self._about})


def offer(ours: Side) -> dict[str, Any]:
    """Of a request, and of the answer to one."""
    return {"from_device": ours.device_id, "methods": [sas.METHOD]}


def _order(side: Side) -> tuple[str, str]:
    return side.user_id, side.device_id


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise _Refused("m.invalid_message")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_TEXT or not all(isinstance(each, str) for each in value):
        raise _Refused("m.invalid_message")
    return value
