"""The values of the crypto store and their rows: what is a look-up key stands in clear, everything else in the
secret."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import vodozemac

from messenger.app.desk_ports import CryptoRow

UserDevice = tuple[str, str]  # user id, device id
RoomSession = tuple[str, str]  # room id, session id


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Somebody's device as its own signature states it. `master` is the owner's master key, if the chain master key ->
    self-signing key -> device held when the device was last queried."""

    user_id: str
    device_id: str
    ed25519: str
    curve25519: str
    name: str = ""
    master: str | None = None
    deleted: bool = False
    blocked: bool = False
    late: bool = False  # its owner was known, with other devices, before it appeared
    trusted: bool = False  # a person has decided that it is its owner's, signed or not

    @property
    def id(self) -> UserDevice:
        return self.user_id, self.device_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user's master key, pinned at first sight. `changed_to` is another one that the homeserver showed since."""

    user_id: str
    pinned: str
    seen_ms: int
    changed_to: str | None = None
    verified: bool = False


@dataclass(slots=True, kw_only=True)
class InboundSession:
    """A room key. `user_id` is who sent it to us over Olm; None when it came from a key backup (`imported`), which the
    homeserver could have filled: such a key proves nothing about the sender."""

    megolm: vodozemac.InboundGroupSession
    room_id: str
    sender_key: str
    ed25519: str
    user_id: str | None
    received_ms: int
    shared_history: bool = False
    backed_up: bool = False
    imported: bool = False
    chain: Sequence[str] = ()

    @property
    def pair(self) -> RoomSession:
        return self.room_id, self.megolm.session_id


@dataclass(slots=True, kw_only=True)
class OutboundSession:
    """The key that a room's messages are encrypted with. `shared` has it; `underway` was sent it, and no answer came
    (yet): it may have it; `told` got a notice why not, with its code."""

    megolm: vodozemac.GroupSession
    room_id: str
    created_ms: int
    shared_history: bool
    messages: int = 0
    shared: set[UserDevice] = field(default_factory=set)
    underway: set[UserDevice] = field(default_factory=set)
    told: dict[UserDevice, str] = field(default_factory=dict)

    def is_expired(self, *, now_ms: int, messages: int, age_ms: int) -> bool:
        return self.messages >= messages or now_ms - self.created_ms >= age_ms


def device_row(device: Device) -> CryptoRow:
    secret = {
        "ed25519": device.ed25519,
        "curve25519": device.curve25519,
        "name": device.name,
        "master": device.master,
        "blocked": device.blocked,
        "late": device.late,
        "trusted": device.trusted,
    }
    return CryptoRow(
        table="mx_device",
        key={"user_id": device.user_id, "device_id": device.device_id},
        clear={"deleted": device.deleted},
        secret=_dump(secret),
    )


def device_of(row: CryptoRow) -> Device:
    names: Mapping[str, Any] = row.key
    return Device(**names, deleted=row.clear["deleted"], **_load(row))


def identity_row(identity: Identity) -> CryptoRow:
    secret = {
        "pinned": identity.pinned,
        "seen_ms": identity.seen_ms,
        "changed_to": identity.changed_to,
        "verified": identity.verified,
    }
    return CryptoRow(
        table="mx_identity",
        key={"user_id": identity.user_id},
        clear={"changed": identity.changed_to is not None},
        secret=_dump(secret),
    )


def identity_of(row: CryptoRow) -> Identity:
    names: Mapping[str, Any] = row.key
    return Identity(**names, **_load(row))


def tracked_row(user_id: str, *, stale: bool, removed: bool = False) -> CryptoRow:
    return CryptoRow(table="mx_tracked", key={"user_id": user_id}, clear={"stale": stale}, removed=removed)


def inbound_row(session: InboundSession, pickle_key: bytes) -> CryptoRow:
    secret = {"pickle": session.megolm.pickle(pickle_key), "user_id": session.user_id, "chain": list(session.chain)}
    key = {"room_id": session.room_id, "session_id": session.megolm.session_id, "sender_key": session.sender_key}
    clear = {
        "first_index": session.megolm.first_known_index,
        "ed25519": session.ed25519,
        "received_ms": session.received_ms,
        "shared_history": session.shared_history,
        "backed_up": session.backed_up,
        "imported": session.imported,
    }
    return CryptoRow(table="mx_megolm", key=key, clear=clear, secret=_dump(secret))


def inbound_of(row: CryptoRow, pickle_key: bytes) -> InboundSession:
    secret, clear = _load(row), row.clear
    return InboundSession(
        megolm=vodozemac.InboundGroupSession.from_pickle(secret["pickle"], pickle_key),
        room_id=row.key["room_id"],
        sender_key=row.key["sender_key"],
        ed25519=clear["ed25519"],
        user_id=secret["user_id"],
        received_ms=clear["received_ms"],
        shared_history=clear["shared_history"],
        backed_up=clear["backed_up"],
        imported=clear["imported"],
        chain=tuple(secret["chain"]),
    )


def outbound_row(session: OutboundSession, pickle_key: bytes) -> CryptoRow:
    secret = {
        "pickle": session.megolm.pickle(pickle_key),
        "created_ms": session.created_ms,
        "shared_history": session.shared_history,
    }
    return CryptoRow(
        table="mx_megolm_out",
        key={"room_id": session.room_id},
        secret=_dump(secret),
        clear={"session_id": session.megolm.session_id, "messages": session.messages},
    )


def shared_row(session: OutboundSession) -> CryptoRow:
    secret = {
        "shared": sorted(session.shared),
        "underway": sorted(session.underway),
        "told": [[*device, code] for device, code in session.told.items()],
    }
    return CryptoRow(
        table="mx_megolm_shared",
        key={"room_id": session.room_id},
        secret=_dump(secret),
        clear={"session_id": session.megolm.session_id},
    )


def outbound_of(row: CryptoRow, shared: CryptoRow | None, pickle_key: bytes) -> OutboundSession:
    secret = _load(row)
    session = OutboundSession(
        megolm=vodozemac.GroupSession.from_pickle(secret["pickle"], pickle_key),
        room_id=row.key["room_id"],
        created_ms=secret["created_ms"],
        shared_history=secret["shared_history"],
        messages=row.clear["messages"],
    )
    if shared is not None and shared.clear["session_id"] == row.clear["session_id"]:
        lists = _load(shared)
        session.shared = {(user_id, device_id) for user_id, device_id in lists["shared"]}
        session.underway = {(user_id, device_id) for user_id, device_id in lists.get("underway", ())}
        session.told = {(user_id, device_id): code for user_id, device_id, code in lists["told"]}
    return session


def withheld_row(pair: RoomSession, user_id: str, code: str) -> CryptoRow:
    return CryptoRow(
        table="mx_withheld", key={"room_id": pair[0], "session_id": pair[1], "user_id": user_id}, clear={"code": code}
    )


def _dump(secret: Mapping[str, Any]) -> bytes:
    return json.dumps(secret, separators=(",", ":")).encode()


def _load(row: CryptoRow) -> dict[str, Any]:
    secret: dict[str, Any] = json.loads(row.secret or b"{}")
    return secret
