"""What a /sync leaves out is read page by page: the gap of a limited timeline, and all that was said since a moment.
A homeserver that is asked too often says when to go on; a room whose gap waits for that keeps no other room waiting.

Client-server API v1.16, "Syncing" and GET /rooms/{roomId}/messages."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from messenger.matrix.batch import RoomBatch, SyncBatch, as_dict, as_list, events, state_events
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.observability import metrics
from messenger.observability.failpoints import fp

log = logging.getLogger(__name__)

GAP_PAGE = 100
GAP_PAGES = 1_000  # 100,000 events of one room; more is a flood, and said so
_Page = tuple[list[Mapping[str, Any]], str]


class NotYet(Exception):
    """The homeserver wants to be asked later. `pause_s`: how much."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(f"in {pause_s:.1f} s")
        self.pause_s = pause_s


class Gaps:
    """A room whose gap cannot be read yet is kept, with what follows in later answers. Its pages that have been read
    are kept, too: where only a few may be read at a time, each try begins where the last one ended."""

    def __init__(self, http: HomeserverClient, *, account: str) -> None:
        self._http, self._account = http, account
        self._pages: dict[tuple[str, str, str | None], _Page] = {}
        self._behind: Mapping[str, RoomBatch] = {}
        self._quiet_until = 0.0  # of time.monotonic()

    @property
    def is_behind(self) -> bool:
        return bool(self._behind)

    def patience_ms(self, most: int) -> int:
        """How long to wait for news before the next try."""
        return min(most, max(0, int(1000 * (self._quiet_until - time.monotonic())))) if self._behind else most

    async def fill(self, batch: SyncBatch, since: str | None) -> SyncBatch:
        """A limited timeline is paged backwards to our own token, oldest first. The first sync has no gap: history
        before our time is not paged. Changes nothing before it is `taken`: a batch may come again."""
        if since is None or not (self._behind or any(room.is_limited for room in batch.rooms)):
            return batch
        rooms = {id: room for id, room in self._behind.items() if id not in batch.left}
        for room in batch.rooms:
            before = rooms.get(room.room_id)
            rooms[room.room_id] = before.followed_by(room) if before else replace(room, since=since)
        filled = [await self._filled_by_now(room) for room in rooms.values()]
        behind = [room for room, whole in zip(rooms.values(), filled, strict=True) if whole is None]
        return replace(batch, rooms=[whole for whole in filled if whole is not None], behind=behind)

    def taken(self, batch: SyncBatch) -> None:
        """It is committed."""
        behind = {room.room_id: room for room in batch.behind}
        for room_id in behind.keys() - self._behind.keys():
            log.warning("a gap waits: the homeserver wants to be asked later", extra={"room_id": room_id})
        self._behind = behind
        self._pages = {place: page for place, page in self._pages.items() if place[0] in behind}

    async def _filled_by_now(self, room: RoomBatch) -> RoomBatch | None:
        try:
            return await self._filled(room) if room.is_limited else room
        except NotYet:
            return None

    async def _filled(self, room: RoomBatch) -> RoomBatch:
        # What was said in a room between our invitation and our joining stands before our token. Only the batch itself
        # tells that we have just come in: the sender may know the room already.
        until = None if any(self._lets_us_in(event) for event in room.state) else room.since
        older: list[Mapping[str, Any]] = []
        start, pages = room.prev_batch, 0
        while start and pages < GAP_PAGES:
            chunk, start = await self._page(room.room_id, start, until)
            older += chunk
            pages += 1
            if until is None and any(self._invites_us(event) for event in chunk):
                break
        else:
            if start:
                log.error("a gap is too long to be filled", extra={"room_id": room.room_id, "count": len(older)})
        metrics.SYNC_GAPS.of(desk=self._account).inc()
        older.reverse()
        if until is None:
            older = self._since_invited(older)
        return replace(room, state=[*state_events(older), *room.state], timeline=[*older, *room.timeline])

    async def _page(self, room_id: str, start: str, until: str | None) -> _Page:
        """Events, newest first, and where the next page begins; "" at the end. Raises NotYet."""
        place = room_id, start, until
        if place not in self._pages:
            self._pages[place] = await self._fetch_if_allowed(*place)
        return self._pages[place]

    async def _fetch_if_allowed(self, room_id: str, start: str, until: str | None) -> _Page:
        """A room that the homeserver keeps from us (we were thrown out, it was deleted) must not stop the others."""
        if (pause_s := self._quiet_until - time.monotonic()) > 0:
            raise NotYet(pause_s)
        try:
            return await self._fetch(room_id, start, until)
        except MatrixError as error:
            if error.is_throttled:
                pause_s = error.pause.total_seconds()
                self._quiet_until = time.monotonic() + pause_s
                raise NotYet(pause_s) from error
            if error.status not in (403, 404):
                raise
            log.error("a gap cannot be filled: refused", extra={"room_id": room_id, "errcode": error.errcode})
            return [], ""

    async def _fetch(self, room_id: str, start: str, until: str | None) -> _Page:
        query = {"dir": "b", "limit": str(GAP_PAGE), "from": start} | ({"to": until} if until else {})
        answer = await self._http.call("GET", f"{CLIENT}/rooms/{path(room_id)}/messages", query=query)
        page = as_dict(answer)
        fp("gap_page")
        end = page.get("end")
        return list(events(page.get("chunk"))), end if as_list(page.get("chunk")) and isinstance(end, str) else ""

    def _since_invited(self, timeline: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Oldest first; what others said before they let us in is not for us."""
        invited = [index for index, event in enumerate(timeline) if self._invites_us(event)]
        return timeline[invited[-1] :] if invited else timeline

    def _lets_us_in(self, event: Mapping[str, Any]) -> bool:
        """Our join, and not a new name of ours in a room where we were before."""
        is_ours = event["type"] == "m.room.member" and event.get("state_key") == self._account
        before = as_dict(as_dict(event.get("unsigned")).get("prev_content")).get("membership")
        return is_ours and event["content"].get("membership") == "join" and before != "join"

    def _invites_us(self, event: Mapping[str, Any]) -> bool:
        is_ours = event["type"] == "m.room.member" and event.get("state_key") == self._account
        return is_ours and event["content"].get("membership") == "invite"

    async def read_back(self, room: RoomBatch, not_before: datetime) -> RoomBatch:
        """All that was said in the room since then. Takes the time that the homeserver wants."""
        start, limit_ms, older = room.prev_batch, int(not_before.timestamp() * 1000), []
        for _ in range(GAP_PAGES):
            if not start:
                break
            chunk, start = await self._page_in_time(room.room_id, start)
            recent = [event for event in chunk if _moment_ms(event) >= limit_ms]
            older += recent
            if not recent:
                break
        timeline = [event for event in room.timeline if _moment_ms(event) >= limit_ms]
        return replace(room, timeline=[*reversed(older), *timeline])

    async def _page_in_time(self, room_id: str, start: str) -> _Page:
        while True:
            try:
                return await self._fetch_if_allowed(room_id, start, None)
            except NotYet as not_yet:
                await asyncio.sleep(not_yet.pause_s)


def _moment_ms(event: Mapping[str, Any]) -> int:
    at = event.get("origin_server_ts")
    return at if isinstance(at, int) else 0
