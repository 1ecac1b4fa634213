"""Encrypting messages in groups: whatever number of rooms, one commit. A room whose key is where it has to be costs no
network."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from weakref import WeakValueDictionary

from messenger.matrix.crypto.machine import MEGOLM
from messenger.matrix.crypto.records import OutboundSession
from messenger.matrix.crypto.sharing import RoomKeys
from messenger.matrix.crypto.state import CryptoState
from messenger.matrix.engine import MemoryLost, Sealed, SendRequest
from messenger.observability.failpoints import fp

Turn = tuple[int, SendRequest]
Results = list[Sealed | BaseException]
MAX_ROUNDS = 100


class Outgoing:
    """Implements `CryptoEngine.encrypt`."""

    def __init__(self, state: CryptoState, room_keys: RoomKeys) -> None:
        self._state, self._room_keys = state, room_keys
        self._room_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def encrypt(self, requests: Sequence[SendRequest]) -> Results:
        results: Results = [MemoryLost("not encrypted")] * len(requests)
        waiting: list[Turn] = list(enumerate(requests))
        self._state.in_flight += 1
        try:
            for _ in range(MAX_ROUNDS):
                if not waiting:
                    break
                waiting = await self._round(waiting, results)
        except Exception as error:  # noqa: BLE001 - a supervised edge: each request carries its failure to the outbox
            for index, _ in waiting:
                results[index] = error
        finally:
            self._state.in_flight -= 1
        return results

    async def _round(self, waiting: Sequence[Turn], results: Results) -> list[Turn]:
        """Encrypts what fits into the rooms' present sessions. Returns the rest: a session was used up, or a room's
        messages have different recipients."""
        await self._load({request.room_id for _, request in waiting})
        first = {request.room_id: request for _, request in reversed(waiting)}
        failed = await self._share(
            [request for request in first.values() if self._room_keys.unreached(request) is None]
        )
        for index, request in waiting:
            if request.room_id in failed:
                results[index] = failed[request.room_id]
        ready = [turn for turn in waiting if turn[1].room_id not in failed]
        await self._load({request.room_id for _, request in ready})
        async with self._state.change():
            rest = self._encrypt_ready(ready, results)
        fp("megolm_encrypted")
        return rest

    async def _load(self, rooms: set[str]) -> None:
        await self._state.ensure_loaded()
        if any(room not in self._state.outbound for room in rooms):
            async with self._state.desk_store.look() as stored:
                await self._state.load_outbound(stored, rooms)

    async def _share(self, requests: Sequence[SendRequest]) -> dict[str, BaseException]:
        if not requests:
            return {}
        async with AsyncExitStack() as locks:
            for request in sorted(requests, key=lambda request: request.room_id):
                await locks.enter_async_context(self._room_lock(request.room_id))
            needed = [request for request in requests if self._room_keys.unreached(request) is None]
            try:
                return await self._room_keys.share(needed) if needed else {}
            except Exception as error:  # noqa: BLE001 - each request carries its failure, rooms that need nothing go on
                return {request.room_id: error for request in needed}

    def _room_lock(self, room_id: str) -> asyncio.Lock:
        return self._room_locks.setdefault(room_id, asyncio.Lock())

    def _encrypt_ready(self, ready: Sequence[Turn], results: Results) -> list[Turn]:
        rest, stopped = [], set[str]()
        for index, request in ready:
            unreached = None if request.room_id in stopped else self._room_keys.unreached(request)
            if unreached is None:
                stopped.add(request.room_id)  # the order of a room's messages is kept
                rest.append((index, request))
            else:
                results[index] = self._encrypt_one(request, unreached)
        return rest

    def _encrypt_one(self, request: SendRequest, unreached: Sequence[tuple[str, str, str]]) -> Sealed | BaseException:
        session = self._state.outbound[request.room_id]
        assert session is not None
        try:
            plaintext = _plaintext(request)
        except (TypeError, ValueError, RecursionError) as error:
            return error
        content = self._event_content(session, plaintext, request.content)
        self._state.save_outbound(session, lists=False)
        return Sealed(content=content, unreached=unreached)

    def _event_content(self, session: OutboundSession, plaintext: bytes, inner: Mapping[str, Any]) -> dict[str, Any]:
        session.messages += 1
        content = {
            "algorithm": MEGOLM,
            "sender_key": self._state.machine.curve25519,
            "ciphertext": session.megolm.encrypt(plaintext).to_base64(),
            "session_id": session.megolm.session_id,
            "device_id": self._state.device_id,
        }
        if "m.relates_to" in inner:  # Matrix spec, "Sending encrypted relations": in clear, outside
            content["m.relates_to"] = inner["m.relates_to"]
        return content


def _plaintext(request: SendRequest) -> bytes:
    payload = {"type": request.type, "content": request.content, "room_id": request.room_id}
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
