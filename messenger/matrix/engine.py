"""The narrow door to end-to-end encryption. Everything behind it may be exchanged (another Olm machine, a Rust engine)
without touching the sync loop or the sender.

Three rules hold for every implementation:

* No network call while a transaction is open; no change of a ratchet outside `exclusive()`.
* Memory is never ahead of the database: when a transaction that took part in `flush` fails, the caller calls `reload`.
* A ratchet is saved BEFORE its output goes on the wire, so that one message index never covers two texts.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from messenger.app.desk_ports import Ciphertext, CryptoReading, DeskUnit
from messenger.matrix.suspicion import Suspicion

if TYPE_CHECKING:
    from messenger.matrix.verification.heard import Heard

DevicePolicy = Literal["any", "cross-signed-tofu", "verified"]
DecryptState = Literal["new", "waiting_key", "quarantine", "undecryptable"]
# Why somebody's app gives us no key (Matrix spec, `m.room_key.withheld`). Whatever else a sender writes there says only
# that it gives none.
WITHHELD_CODES = frozenset({"m.blacklisted", "m.unverified", "m.unauthorised", "m.unavailable", "m.no_olm"})


def withheld_reason(code: str) -> str:
    """The `reason` of an event whose key is withheld: one of six, whatever the code is."""
    return code.replace("m.", "withheld.", 1) if code in WITHHELD_CODES else "withheld"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCrypto:
    """The parts of one /sync answer that concern encryption, raw as they came (nothing in it is trusted)."""

    to_device: Sequence[Any] = ()
    changed: Sequence[str] = ()  # device_lists.changed
    left: Sequence[str] = ()  # device_lists.left
    one_time_keys: int | None = None  # signed_curve25519 left on the server; 0 is a number
    unused_fallback_keys: Sequence[str] | None = None  # device_unused_fallback_key_types; None: no news
    events: Sequence[tuple[str, Any]] = ()  # (room id, m.room.encrypted event) of all timelines


@dataclass(frozen=True, slots=True, kw_only=True)
class Decrypted:
    """What became of one encrypted room event. `type` and `content` are filled only in state `new` (and `quarantine`,
    for the alarm). `reason` is a code for logs and gap markers, never text of the message."""

    state: DecryptState
    type: str = ""
    content: Mapping[str, Any] = ()  # type: ignore[assignment]
    sender_key: str = ""
    session_id: str = ""
    index: int | None = None
    first_index: int | None = None  # the session's first message that was for us; None if that is not known
    device_id: str = ""
    owner_signed: bool = False  # the sender's device is signed by its owner (MSC4153)
    reason: str = ""

    def ciphertext(self, room_id: str) -> Ciphertext | None:
        """What it was opened from; nothing for what is not its sender's."""
        if self.state != "new" or self.index is None:
            return None
        return room_id, self.sender_key, self.session_id, self.index

    @property
    def is_withheld(self) -> bool:
        """It waits for its key, and its sender's app has said that it gives none."""
        return self.state == "waiting_key" and self.reason.split(".")[0] == "withheld"

    def content_field(self, name: str) -> Any:
        return self.content.get(name) if isinstance(self.content, Mapping) else None


DoubtCause = Literal["unsigned_device", "identity_changed", "unexpected_member", "encryption_off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why nothing may leave where this user reads. `key` is what it is about: the device's Ed25519 key, the new master
    key, nothing for a member whom nobody has invited; of a room without our encryption the `user` is the desk."""

    user: str
    cause: DoubtCause
    device: str = ""
    key: str = ""


class MemoryLost(Exception):
    """Another transaction of this desk failed meanwhile and memory was thrown away. Nothing was sent: the outbox
    repeats."""


class RecipientsUnknown(Exception):
    """A recipient's homeserver does not answer, and the policy forbids to go by what we knew. The outbox tries
    again."""


class Doubted(Exception):
    """A person must decide first. Nothing was shared."""

    def __init__(self, doubts: Sequence[Doubt]) -> None:
        super().__init__(", ".join(sorted({doubt.cause for doubt in doubts})))
        self.doubts = tuple(doubts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """`recipients` are the users who may read: joined or invited, and allowed by our database. The own user may be in
    it."""

    room_id: str
    recipients: frozenset[str]
    type: str
    content: Mapping[str, Any]
    policy: DevicePolicy = "any"
    rotation_messages: int = 100
    rotation_ms: int = 604_800_000
    history_shared: bool = True  # history_visibility is `shared` or `world_readable`
    despite_doubts: bool = False  # it is about trust itself, and holds nothing that is worth hiding


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An m.room.encrypted content, ready for PUT; `unreached` names devices that could not get the key: (user, device,
    code). With the code `identity_changed` it names a user who does get it, and the new master key; with
    `unsigned_device` a new device that does get it, although its owner has not signed it."""

    content: Mapping[str, Any]
    unreached: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryShared:
    sessions: int
    devices: int


class CryptoEngine(Protocol):
    """One bot account's Olm machine. One process at a time (the desk's lease)."""

    user_id: str
    device_id: str

    async def start(self) -> None:
        """Loads the account, or makes one and uploads its keys (saved before the upload). Raises for a store it cannot
        open."""
        ...

    async def reload(self) -> None:
        """Throws memory away and goes back to what is committed."""
        ...

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Held while ratchets change and are flushed."""
        ...

    async def prepare(self, batch: SyncCrypto) -> None:
        """Before the transaction: loads the sessions and devices that this batch needs and asks /keys/query for unknown
        senders. Network and short reads, no open transaction. A homeserver that fails here raises; the batch comes
        again."""
        ...

    async def receive(self, unit: DeskUnit, batch: SyncCrypto) -> frozenset[tuple[str, str]]:
        """Inside `exclusive()` and the caller's transaction: to-device events (each in its own try, nothing escapes),
        device lists, one-time-key count. Returns the (room id, session id) pairs whose keys are known now and were not
        before, or were withheld."""
        ...

    def heard(self) -> Sequence["Heard"]:
        """Messages of verifications among the to-device events of the last `receive`."""
        ...

    def decrypt(self, room_id: str, event: Mapping[str, Any]) -> Decrypted:
        """No I/O. Never raises for anything in the event. Binds sender, device and Megolm session for EVERY device."""
        ...

    async def load_sessions(
        self, stored: CryptoReading, wanted: Sequence[tuple[str, str]], senders: Collection[str] = ()
    ) -> None:
        """Loads inbound sessions (room id, session id) for events that `prepare` has not seen: parked rows. `senders`
        are their authors."""
        ...

    def suspicions(self) -> Sequence[Suspicion]:
        """What only a dishonest homeserver or sender does, since it was last `reported`."""
        ...

    def reported(self, told: Sequence[Suspicion]) -> None:
        """These are committed."""
        ...

    async def flush(self, unit: DeskUnit) -> None:
        """Writes everything that changed since the last flush, newest state once, in few statements."""
        ...

    async def settle(self) -> None:
        """After COMMIT: one-time keys, unwedging. Network with own transactions; a failure is logged and tried again at
        the next batch. Nobody is asked for a key: only our own devices could be, and this is the only one."""
        ...

    def is_ready(self, request: SendRequest) -> bool:
        """True: `encrypt` needs no network for this request."""
        ...

    async def encrypt(self, requests: Sequence[SendRequest]) -> Sequence["Sealed | BaseException"]:
        """Shares room keys where needed (network), then encrypts all requests under ONE flush, saved before it returns.
        The caller keeps order per room. One failing request does not fail the others."""
        ...

    async def approve_identity(self, user_id: str, *, verified: bool = False, key: str = "") -> str | None:
        """A person looked: the user's present master key is theirs. Returns it; None if they have none, or another one
        than the `key` that the person has seen."""
        ...

    async def trust_device(self, user_id: str, device_id: str) -> None:
        """A person looked: the device is its owner's, although they have not signed it."""
        ...

    async def block_device(self, user_id: str, device_id: str, *, blocked: bool = True) -> None:
        """Takes a device out of all further keys, whatever the policy."""
        ...

    async def share_history(
        self, room_id: str, user_id: str, *, policy: DevicePolicy = "cross-signed-tofu"
    ) -> HistoryShared:
        """MSC4268: hands the room's keys to a user who is about to be invited. Call BEFORE the invite. Only to devices
        that their owner has signed, also under `any`."""
        ...

    async def forget(self, rooms: Collection[str], people: Collection[str]) -> None:
        """For good: part of erasing a person. A new key of theirs would have to come anew."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomKey:
    """One inbound Megolm session as key backup and history sharing see it. `session_key` is the export format at the
    first known index (Matrix spec, "Megolm session export")."""

    room_id: str
    session_id: str
    sender_key: str
    ed25519: str
    session_key: str
    first_index: int
    forwarding_chain: Sequence[str] = ()
    shared_history: bool = False


class OwnDevice(Protocol):
    """What identity and key backup need from the machine."""

    user_id: str
    device_id: str
    signed_device_keys: (
        Mapping[str, Any] | None
    )  # device keys + self-signing signature, goes into Olm messages (MSC4147)

    def device_keys(self) -> dict[str, Any]:
        """Exactly what /keys/upload published, signed by the device."""
        ...

    def sign(self, value: Mapping[str, Any]) -> str:
        """Unpadded base64 Ed25519 signature over canonical JSON without `signatures` and `unsigned`."""
        ...

    async def keys_to_back_up(self, limit: int) -> Sequence[RoomKey]: ...

    async def mark_backed_up(self, keys: Sequence[RoomKey]) -> None: ...

    async def import_keys(self, keys: Sequence[RoomKey]) -> int:
        """From our own key backup. Lowest index wins. Returns how many were new or better."""
        ...
