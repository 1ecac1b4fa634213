"""What nio's Olm machine believes to be its store. It does no I/O: it remembers what changed, and `take` hands the
newest state out as rows, once, for the caller's transaction."""

import json
from collections.abc import Callable
from datetime import datetime
from secrets import token_bytes
from typing import Any

from nio.crypto import DeviceStore, GroupSessionStore, OlmAccount, Session, SessionStore

from messenger.app.desk_ports import CryptoRow


class PickleKey:
    """32 random bytes a desk, so that a pickle alone is of no use. nio wants text and hashes it, vodozemac wants
    bytes."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise ValueError("the pickle key must have 32 bytes: the crypto store is damaged, restore it from a backup")
        self.raw, self.text = raw, raw.hex()


class MachineStore:
    """One machine's changes since the last `take`."""

    def __init__(self, account: CryptoRow | None) -> None:
        secret: dict[str, Any] = json.loads(account.secret or b"{}") if account else {}
        self.is_new = "pickle" not in secret
        self.pickle_key = PickleKey(bytes.fromhex(secret["pickle_key"]) if account else token_bytes(32))
        self._account_secret, self.device_id = secret, ""
        self._changed: dict[tuple[str, ...], Callable[[], CryptoRow]] = {}

    @property
    def is_clean(self) -> bool:
        return not self._changed

    def mark(self, table: str, *key: str, row: Callable[[], CryptoRow]) -> None:
        """The row is made when it is taken: the last state counts, and it is pickled once."""
        self._changed[(table, *key)] = row

    def take(self) -> list[CryptoRow]:
        changed, self._changed = self._changed, {}
        return [row() for row in changed.values()]

    def load_account(self) -> OlmAccount | None:
        if self.is_new:
            return None
        pickle = self._account_secret["pickle"].encode()
        return OlmAccount.from_pickle(pickle, self.pickle_key.text, self._account_secret["shared"])

    def load_sessions(self) -> SessionStore:
        return SessionStore()

    def load_inbound_group_sessions(self) -> GroupSessionStore:
        return GroupSessionStore()

    def load_device_keys(self) -> DeviceStore:
        return DeviceStore()

    def load_outgoing_key_requests(self) -> dict[str, Any]:
        return {}

    def save_account(self, account: OlmAccount) -> None:
        self.mark("mx_account", row=lambda: self._account_row(account))

    def save_session(self, sender_key: str, session: Session) -> None:
        self.mark("mx_olm", sender_key, session.id, row=lambda: self._session_row(sender_key, session))

    def remove_session(self, sender_key: str, session: Session) -> None:
        row = CryptoRow(table="mx_olm", key={"sender_key": sender_key, "session_id": session.id}, removed=True)
        self.mark("mx_olm", sender_key, session.id, row=lambda: row)

    def session_of(self, row: CryptoRow) -> Session:
        created, used = _naive(row.clear["created_ms"]), _naive(row.clear["used_ms"])
        return Session.from_pickle(row.secret, created, self.pickle_key.text, used)

    def _account_row(self, account: OlmAccount) -> CryptoRow:
        secret = {
            "pickle_key": self.pickle_key.text,
            "pickle": account.pickle(self.pickle_key.text).decode(),
            "shared": account.shared,
        }
        return CryptoRow(
            table="mx_account", key={}, clear={"device_id": self.device_id}, secret=json.dumps(secret).encode()
        )

    def _session_row(self, sender_key: str, session: Session) -> CryptoRow:
        clear = {"created_ms": _ms(session.creation_time), "used_ms": _ms(session.use_time)}
        return CryptoRow(
            table="mx_olm",
            key={"sender_key": sender_key, "session_id": session.id},
            clear=clear,
            secret=session.pickle(self.pickle_key.text),
        )


def without_olm_account(account: CryptoRow, *, device_id: str) -> CryptoRow:
    """What is left of an account when its device is given up: the key of the room keys' pickles."""
    pickle_key = json.loads(account.secret or b"{}")["pickle_key"]
    return CryptoRow(
        table="mx_account",
        key={},
        clear={"device_id": device_id},
        secret=json.dumps({"pickle_key": pickle_key}).encode(),
    )


def _naive(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000)  # noqa: DTZ006 - nio compares with naive local times


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
