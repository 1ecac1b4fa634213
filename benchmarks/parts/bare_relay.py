"""The yardstick: a relay with matrix-nio alone. No database, no exactly-once, no conversations: every text of every
other room goes into one room. Order is kept within a room, rooms go side by side.

    bare_relay.py URL USER PASSWORD TARGET_ROOM STORE_FOLDER READY_FILE"""

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

from nio import AsyncClient, AsyncClientConfig, InviteMemberEvent, MatrixRoom, RoomMessageText


class BareRelay:
    def __init__(self, url: str, user: str, target: str, store: str) -> None:
        config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False)
        self._client = AsyncClient(url, user, store_path=store, config=config)
        self._target = target
        self._waiting: dict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self._senders: dict[str, asyncio.Task[None]] = {}

    async def run(self, password: str, ready: Path) -> None:
        await self._client.login(password)
        self._client.add_event_callback(self._invited, InviteMemberEvent)
        await self._client.join(self._target)
        await self._client.sync(full_state=True)
        self._client.add_event_callback(self._said, RoomMessageText)
        ready.touch()
        await self._client.sync_forever(timeout=30_000)

    async def _invited(self, room: MatrixRoom, event: InviteMemberEvent) -> None:
        await self._client.join(room.room_id)

    async def _said(self, room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender == self._client.user_id or room.room_id == self._target:
            return
        self._waiting[room.room_id].put_nowait(event.body)
        if room.room_id not in self._senders:
            self._senders[room.room_id] = asyncio.create_task(self._send_for_ever(room.room_id))

    async def _send_for_ever(self, room_id: str) -> None:
        while True:
            content = {"msgtype": "m.text", "body": await self._waiting[room_id].get()}
            await self._client.room_send(self._target, "m.room.message", content, ignore_unverified_devices=True)


def main() -> None:
    url, user, password, target, store, ready = sys.argv[1:]
    asyncio.run(BareRelay(url, user, target, store).run(password, Path(ready)))


if __name__ == "__main__":
    main()
