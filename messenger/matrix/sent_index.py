"""What have we said since then? Read from the rooms themselves: after a restore nobody else knows. Each of our events
carries its transaction id beside its ciphertext, so that no key is needed for this."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from messenger.matrix.batch import as_dict, as_list, as_text, events, is_room_id
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.matrix.sender import OID

PAGE = 500
MOST_PAGES = 1_000
ROOMS_AT_ONCE = 8


@dataclass(slots=True)
class SentIndex:
    """`by_txn`: transaction id → (room, event). `events` are all of ours, also those that tell no id."""

    by_txn: dict[str, tuple[str, str]] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)


async def sent_since(http: HomeserverClient, account: str, since: datetime, rooms: Sequence[str]) -> SentIndex:
    """Raises MatrixError and Unreachable; a room that is kept from us tells nothing. By the homeserver's clock: choose
    `since` with a margin."""
    index, gate = SentIndex(), asyncio.Semaphore(ROOMS_AT_ONCE)

    async def read(room: str) -> None:
        async with gate:
            async for event in _newest_first(http, room, int(since.timestamp() * 1000)):
                if event["sender"] == account:
                    _note(index, room, event)

    async with asyncio.TaskGroup() as group:
        for room in rooms:
            group.create_task(read(room))
    return index


async def joined_rooms(http: HomeserverClient) -> Sequence[str]:
    answer = as_dict(await http.call("GET", f"{CLIENT}/joined_rooms"))
    return [room for room in as_list(answer.get("joined_rooms")) if is_room_id(room)]


async def is_missing(http: HomeserverClient, room: str, event: str) -> bool:
    """Does the homeserver not know (or not show) this event?"""
    try:
        await http.call("GET", f"{CLIENT}/rooms/{path(room, 'event', event)}")
    except MatrixError as error:
        if error.status not in (403, 404):
            raise
        return True
    return False


def _note(index: SentIndex, room: str, event: Mapping[str, Any]) -> None:
    index.events.add(event["event_id"])
    txn = as_text(event["content"].get(OID))
    if txn:
        index.by_txn.setdefault(txn, (room, event["event_id"]))


async def _newest_first(http: HomeserverClient, room: str, since_ms: int) -> AsyncIterator[Mapping[str, Any]]:
    """Raises ValueError for a room in which more was said than we are willing to read."""
    start = ""
    for _ in range(MOST_PAGES):
        query = {"dir": "b", "limit": str(PAGE)} | ({"from": start} if start else {})
        try:
            page = as_dict(await http.call("GET", f"{CLIENT}/rooms/{path(room)}/messages", query=query))
        except MatrixError as error:
            if error.status not in (403, 404):
                raise
            return
        chunk = events(page.get("chunk"))
        for event in chunk:
            yield event
        start = as_text(page.get("end"))
        if not start or not chunk or all(_moment(event) < since_ms for event in chunk):
            return
    raise ValueError(f"too much was said in {room} since then to be read through")


def _moment(event: Mapping[str, Any]) -> int:
    at = event.get("origin_server_ts")
    return at if isinstance(at, int) else 0
