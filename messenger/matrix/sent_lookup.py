"""Has it been sent? The homeserver forgets transaction ids after a day, and keeps them per device: a repeat that is
older, or from another device, would be a second message. Then our own id tells, inside the ciphertext and beside
it."""

from collections.abc import Mapping, Sequence
from typing import Any

from messenger.app.desk_ports import IngestStore
from messenger.matrix.batch import as_dict, as_text, events
from messenger.matrix.engine import CryptoEngine
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.sender import NOTHING_BEFORE, OID, SentBefore, as_channel_error

PAGE = 100
PAGES = 50


class SentLookup:
    """`sent_before` is what was found when the desk was recovered: transaction id → (room, event)."""

    def __init__(
        self,
        http: HomeserverClient,
        engine: CryptoEngine,
        store: IngestStore,
        *,
        sent_before: SentBefore = NOTHING_BEFORE,
    ) -> None:
        self._http, self._engine, self._store, self._sent_before = http, engine, store, sent_before

    async def find(self, room_id: str, txn: str) -> str | None:
        """The id of our event that carries this transaction id, among the last 5,000 of the room. Raises
        ChannelError."""
        room, event = self._sent_before.get(txn, ("", ""))
        if room == room_id:
            return event
        start = ""
        for _ in range(PAGES):
            page = await self._page(room_id, start)
            found = await self._in(room_id, events(page.get("chunk")), txn)
            start = as_text(page.get("end"))
            if found or not start:
                return found
        return None

    async def _page(self, room_id: str, start: str) -> Mapping[str, Any]:
        query = {"dir": "b", "limit": str(PAGE)} | ({"from": start} if start else {})
        try:
            return as_dict(await self._http.call("GET", f"{CLIENT}/rooms/{path(room_id)}/messages", query=query))
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error

    async def _in(self, room_id: str, chunk: Sequence[Mapping[str, Any]], txn: str) -> str | None:
        ours = [
            event for event in chunk if event["sender"] == self._store.account and event["type"] == "m.room.encrypted"
        ]
        wanted = {(room_id, as_text(event["content"].get("session_id"))) for event in ours}
        async with self._store.look() as stored:
            await self._engine.load_sessions(stored, sorted(wanted), {self._store.account})
        for event in ours:
            if txn in (event["content"].get(OID), self._engine.decrypt(room_id, event).content_field(OID)):
                return str(event["event_id"])
        return None
