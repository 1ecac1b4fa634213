"""How verifications speak to the homeserver: encrypted in rooms, where nothing of ours stands in clear, and in
clear between devices, as Element does. What they say is no secret."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from messenger.channels.errors import Quota, Temporary
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, Unreachable, path
from messenger.matrix.sender import Sender, as_channel_error

TRIES, PAUSE_S, LONGEST_PAUSE_S = 4, 1.0, 10.0
Result = TypeVar("Result")


class MatrixVoice:
    """Patient for a moment; a verification is over in ten minutes, and nothing of it is kept for later."""

    def __init__(self, http: HomeserverClient, sender: Sender) -> None:
        self._http, self._sender = http, sender

    async def in_room(self, room: str, type: str, content: Mapping[str, Any], *, txn: str) -> str:
        return await _patiently(lambda: self._sender.send_unmarked(room, type, content, txn=txn))

    async def to_devices(
        self, user_id: str, devices: Sequence[str], type: str, content: Mapping[str, Any], *, txn: str
    ) -> None:
        if devices:
            body = {"messages": {user_id: dict.fromkeys(devices, content)}}
            await _patiently(lambda: self._put(f"{CLIENT}/sendToDevice/" + path(type, txn), body))

    async def _put(self, url: str, body: Mapping[str, Any]) -> None:
        try:
            await self._http.call("PUT", url, body)
        except (MatrixError, Unreachable) as error:
            raise as_channel_error(error) from error


async def _patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    for _ in range(TRIES - 1):
        try:
            return await call()
        except (Quota, Temporary) as error:
            wanted = error.retry_after.total_seconds() if error.retry_after else PAUSE_S
            await asyncio.sleep(min(wanted, LONGEST_PAUSE_S))
    return await call()
