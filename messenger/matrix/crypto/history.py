"""MSC4268: handing a room's past to a colleague who is about to be invited. The keys travel as an encrypted file; the
key of the file goes over Olm to the invitee's devices that their owner signed, and to no other; where only verified
people read, to nobody else either."""

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from nio.crypto.attachments import encrypt_attachment

from messenger.matrix.crypto.devices import DeviceLists, refusal
from messenger.matrix.crypto.machine import MEGOLM
from messenger.matrix.crypto.records import Device, InboundSession, inbound_of
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.crypto.todevice import ToDevice
from messenger.matrix.engine import DevicePolicy, HistoryShared
from messenger.matrix.http import HomeserverClient
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

MAX_SESSIONS = 5_000
SESSIONS_AT_ONCE = 200  # between two looks at the event loop
NOT_SHARED = "m.history_not_shared"


class NotCrossSigned(Exception):
    """The bot's own device is not signed by its owner, so no receiver would believe the bundle. The operator runs the
    identity set-up first."""


class HistorySharing:
    """Implements `CryptoEngine.share_history`."""

    def __init__(self, state: CryptoState, http: HomeserverClient, lists: DeviceLists, to_device: ToDevice) -> None:
        self._state, self._http, self._lists, self._to_device = state, http, lists, to_device

    async def share(self, room_id: str, user_id: str, policy: DevicePolicy) -> HistoryShared:
        if not self._state.signed_device_keys:
            raise NotCrossSigned("sender_device_keys must carry the self-signing signature")
        await self._lists.refresh([user_id], force=True)
        devices = self._trusted_devices(user_id, policy)
        if not devices:
            return HistoryShared(sessions=0, devices=0)
        bundle, count = await self._bundle(room_id)
        data, file = encrypt_attachment(json.dumps(bundle, separators=(",", ":")).encode())
        file["url"] = await self._http.upload(data)
        fp("history_uploaded")
        reached = await self._hand_over(devices, {"room_id": room_id, "file": file})
        log.info(
            "history_shared", extra={"room_id": room_id, "user_id": user_id, "sessions": count, "devices": reached}
        )
        return HistoryShared(sessions=count, devices=reached)

    def _trusted_devices(self, user_id: str, policy: DevicePolicy) -> list[Device]:
        entry = self._state.users[user_id]
        if not entry.is_fresh:  # the remote server did not answer: an old list is not good enough here
            return []
        strictly: DevicePolicy = "verified" if policy == "verified" else "cross-signed-tofu"
        return [device for device in entry.active() if refusal(device, entry.identity, strictly) is None]

    async def _hand_over(self, devices: Sequence[Device], content: dict[str, Any]) -> int:
        self._state.in_flight += 1
        try:
            return await self._send(devices, content)
        finally:
            self._state.in_flight -= 1

    async def _send(self, devices: Sequence[Device], content: dict[str, Any]) -> int:
        state, generation = self._state, self._state.generation
        async with self._to_device.reaching(devices, insist=True) as claim:
            if claim.error is not None:
                raise claim.error
            async with state.change():
                state.still(generation)
                self._to_device.open_sessions(claim)
                parts = self._to_device.seal(devices, "m.room_key_bundle", content)
        reached, error = await self._to_device.put_all("m.room.encrypted", parts, about=content["file"]["url"])
        if error is not None:
            raise error
        return len(reached)

    async def _bundle(self, room_id: str) -> tuple[dict[str, Any], int]:
        sessions = await self._sessions(room_id)
        shared = _one_copy_each(session for session in sessions if session.shared_history)[:MAX_SESSIONS]
        chosen = {session.megolm.session_id for session in shared}
        keys = []
        for start in range(0, len(shared), SESSIONS_AT_ONCE):
            keys += [_bundled(session) for session in shared[start : start + SESSIONS_AT_ONCE]]
            await asyncio.sleep(0)
        withheld = [_withheld(session) for session in sessions if session.megolm.session_id not in chosen]
        return {"room_keys": keys, "withheld": withheld}, len(keys)

    async def _sessions(self, room_id: str) -> list[InboundSession]:
        """All of the room, newest first."""
        await self._state.ensure_loaded()
        async with self._state.desk_store.look() as stored:
            rows = await stored.read("mx_megolm", [{"room_id": room_id}])
        sessions = []
        for start in range(0, len(rows), SESSIONS_AT_ONCE):
            part = rows[start : start + SESSIONS_AT_ONCE]
            sessions += [inbound_of(row, self._state.changes.pickle_key.raw) for row in part]
            await asyncio.sleep(0)
        return sorted(sessions, key=lambda session: session.received_ms, reverse=True)


def _one_copy_each(sessions: Iterable[InboundSession]) -> list[InboundSession]:
    """Somebody may have sent us a copy of another one's session. Its creator's reaches back furthest."""
    best: dict[str, InboundSession] = {}
    for session in sessions:
        known = best.setdefault(session.megolm.session_id, session)
        if session.megolm.first_known_index < known.megolm.first_known_index:
            best[session.megolm.session_id] = session
    return list(best.values())


def _bundled(session: InboundSession) -> dict[str, Any]:
    exported = session.megolm.export_at(session.megolm.first_known_index)
    assert exported is not None
    return {**_names(session), "sender_claimed_keys": {"ed25519": session.ed25519}, "session_key": exported.to_base64()}


def _withheld(session: InboundSession) -> dict[str, Any]:
    return {**_names(session), "code": NOT_SHARED, "reason": "not shared with later members"}


def _names(session: InboundSession) -> dict[str, Any]:
    return {
        "algorithm": MEGOLM,
        "room_id": session.room_id,
        "session_id": session.megolm.session_id,
        "sender_key": session.sender_key,
    }
