"""The sync loop: everything that a batch brings, and the token that acknowledges it, in ONE transaction, the token
last.

A crash anywhere before COMMIT brings the same batch again; a crash after it brings the next. Memory never runs ahead of
the database: when the transaction fails, the Olm machine is thrown away and loaded again."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from messenger.app.desk_ports import Arrival, IngestStore, IngestUnit, RoomState
from messenger.app.items import ChatInvited, DeskBack, DeskOut, RoomReplaced
from messenger.channels.messages import Handle
from messenger.matrix import convert, room_state, successors
from messenger.matrix.batch import RoomBatch, SyncBatch, as_dict, as_list, events, parse, server_of, state_events
from messenger.matrix.engine import CryptoEngine, Decrypted, SyncCrypto
from messenger.matrix.http import CLIENT, AnswerTooLarge, HomeserverClient, MatrixError, path
from messenger.matrix.verification import heard
from messenger.matrix.verification.heard import Heard
from messenger.matrix.vigilance import Vigilance
from messenger.observability import metrics
from messenger.observability.failpoints import fp
from messenger.observability.time import utc_now

log = logging.getLogger(__name__)

_NOTHING: dict[str, Any] = {"types": []}
MOST_EVENTS = 50  # of one room in one answer
FIRST_SYNC_S = 120  # the homeserver gathers all rooms
LONG_POLL_MS, GRACE_S = 20_000, 10  # a dead line is noticed after 30 seconds
# From one /sync to the next: so much for each event that the last one has brought, but never less than the first and
# never more than the second. From 60 events a second on it grows to its end; below, it falls back.
SPACING_S, LONGEST_SPACING_S, SPACING_OF_AN_EVENT_S = 0.1, 0.4, 1 / 60
GAP_PAGE = 100
GAP_PAGES = 1_000  # 100,000 events of one room; more is a flood, and said so
MOST_SERVERS = 10_000
NO_ROOM = RoomState(room_id="")


@dataclass(slots=True)
class InvitePolicy:
    """Whose invitations are taken, and how fast. An empty list of servers means all. Each other server may invite
    `per_minute` times a minute (a token bucket of that size); what comes faster gets a later moment, which its row
    keeps. Rooms that are `not_ours` are no chats: what happens there is not looked at."""

    servers: frozenset[str] = frozenset()
    per_minute: int = 30
    not_ours: frozenset[str] = frozenset()
    _full_at: dict[str, datetime] = field(default_factory=dict)

    def allows(self, user_id: str) -> bool:
        return not self.servers or server_of(user_id) in self.servers

    def not_before(self, server: str, now: datetime) -> datetime | None:
        """When the next invitation of this server may be taken; None: at once."""
        full_at = max(self._full_at.get(server, now), now) + timedelta(minutes=1) / self.per_minute
        self._forget_the_quiet(now)
        self._full_at[server] = full_at
        due = full_at - timedelta(minutes=1)
        return due if due > now else None

    def _forget_the_quiet(self, now: datetime) -> None:
        if len(self._full_at) >= MOST_SERVERS:
            self._full_at = {server: at for server, at in self._full_at.items() if at > now}


class SyncLoop:
    """`on_rooms` hears which rooms changed their state, so that caches of it can be dropped; `on_verification` what
    belongs to verifications, after it was committed; `on_own_keys` that those of our own account have changed."""

    def __init__(
        self,
        http: HomeserverClient,
        engine: CryptoEngine,
        store: IngestStore,
        *,
        invites: InvitePolicy,
        on_rooms: Callable[[Sequence[str]], None],
        on_batch: Callable[[], None],
        on_verification: Callable[[Sequence[Heard]], None] = lambda messages: None,
        on_own_keys: Callable[[], None] = lambda: None,
    ) -> None:
        self._http, self._engine, self._store, self._invites = http, engine, store, invites
        self._on_rooms, self._on_batch, self._on_verification = on_rooms, on_batch, on_verification
        self._on_own_keys = on_own_keys
        self._heard: list[Heard] = []
        self._vigilance = Vigilance(engine, account=store.account)
        self._account, self._most_events = store.account, MOST_EVENTS
        self._since: str | None = None
        self.heard_at = time.monotonic()  # when the last batch was committed; in the beginning, when we were made
        self._asked_at, self._spacing_s, self._has_started = 0.0, SPACING_S, False

    async def once(self, *, timeout_ms: int = LONG_POLL_MS) -> int:
        """One batch. Returns the number of room events in it. Raises when it could not be committed; it comes again."""
        if not self._has_started:
            await self._start()
        since = self._since
        await self._keep_distance()
        answer = await self._ask(since, timeout_ms)
        answered_at = time.monotonic()
        batch = await self._fill_gaps(answer, since)
        await self._commit(batch, since)
        self._count(batch, answered_at)
        self._since, self._most_events = batch.next_batch, MOST_EVENTS
        await self._engine.settle()
        count = sum(len(room.timeline) for room in batch.rooms)
        self._spacing_s = min(max(SPACING_S, count * SPACING_OF_AN_EVENT_S), LONGEST_SPACING_S)
        return count

    def _count(self, batch: SyncBatch, answered_at: float) -> None:
        self.heard_at = time.monotonic()
        metrics.SYNC_DURATION.of(desk=self._account).observe(self.heard_at - answered_at)
        if batch.one_time_keys is not None:
            metrics.ONE_TIME_KEYS.of(desk=self._account).set(batch.one_time_keys)

    async def begin_anew(self, *, not_before: datetime) -> None:
        """For a homeserver that was restored to an older state and does not know our token: one batch with everything
        that was said since then in rooms that we are in. What we know already is not taken twice."""
        answer = parse(await self._http.call("GET", f"{CLIENT}/sync", query=_query(1, 0, None)))
        if answer is None:
            raise ValueError("a sync answer without a token")
        batch = replace(answer, rooms=[await self._read_back(room, not_before) for room in answer.rooms])
        await self._commit(batch, None)

    async def _read_back(self, room: RoomBatch, not_before: datetime) -> RoomBatch:
        start, limit_ms, older = room.prev_batch, int(not_before.timestamp() * 1000), []
        for _ in range(GAP_PAGES):
            if not start:
                break
            chunk, start = await self._page_if_allowed(room.room_id, start, None)
            recent = [event for event in chunk if _moment_ms(event) >= limit_ms]
            older += recent
            if not recent:
                break
        timeline = [event for event in room.timeline if _moment_ms(event) >= limit_ms]
        return replace(room, timeline=[*reversed(older), *timeline])

    async def _keep_distance(self) -> None:
        """A /sync answers at the first news; under load, one for each event would cost the homeserver a quarter of its
        time. So the next one leaves a moment after the last, a longer one while much comes. When it is quiet, that
        moment is long over."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._asked_at + self._spacing_s - clock()))
        self._asked_at = clock()

    async def _ask(self, since: str | None, timeout_ms: int) -> SyncBatch:
        """What is too much for one answer comes in shorter timelines; the gaps are filled page by page."""
        try:
            answer = await self._http.call(
                "GET",
                f"{CLIENT}/sync",
                silence_s=timeout_ms / 1000 + GRACE_S if since else FIRST_SYNC_S,
                query=_query(self._most_events, timeout_ms if since else 0, since),
            )
        except AnswerTooLarge:
            self._most_events = max(1, self._most_events // 7)
            raise
        fp("sync_received")
        batch = parse(answer)
        if batch is None:
            raise ValueError("a sync answer without a token")
        return batch.without(self._invites.not_ours) if self._invites.not_ours else batch

    async def _start(self) -> None:
        """Rows that wait for a key which is there already: a process ended between the two."""
        self._since = await self._store.cursor()
        sessions = await self._store.waiting_sessions()
        if sessions:
            async with self._engine.exclusive(), self._store.unit() as unit:
                await self._unpark(unit, sessions)
        self._has_started = True

    async def _commit(self, batch: SyncBatch, since: str | None) -> None:
        crypto = _crypto(batch)
        self._heard = []
        await self._engine.prepare(crypto)
        try:
            async with self._engine.exclusive(), self._store.batch() as unit:
                learned = await self._engine.receive(unit, crypto)
                changed = await self._take(unit, batch, since)
                await self._unpark(unit, list(learned))
                await self._engine.flush(unit)
                if alerts := await self._vigilance.rows(unit, batch.next_batch):
                    await unit.take(alerts)
                await unit.set_cursor(batch.next_batch)
        except BaseException:
            self._vigilance.forget()
            await self._engine.reload()
            raise
        fp("ingest_committed")
        self._vigilance.committed()
        self._on_rooms(changed)
        if unit.has_news:
            self._on_batch()
        self._on_verification([*self._heard, *self._engine.heard()])
        if self._account in batch.changed:
            self._on_own_keys()

    async def _take(self, unit: IngestUnit, batch: SyncBatch, since: str | None) -> Sequence[str]:
        known = await unit.rooms([room.room_id for room in batch.rooms])
        changed, arrivals = [], []
        for room in batch.rooms:
            before = known.get(room.room_id) or replace(NO_ROOM, room_id=room.room_id)
            after, members = room_state.apply(before, room.state, own=self._account)
            self._vigilance.state(before, after, room.state)
            if room.malformed:
                self._vigilance.malformed(after)
            await self._vigilance.members(unit, before, members)
            if after != before or members or room.room_id not in known:
                changed.append(room.room_id)
                await unit.save_rooms([after])
                await unit.save_members(room.room_id, members, complete=False)
            arrivals += await self._arrivals(unit, after, room.timeline)
            arrivals += [*self._back(before, after, since), *self._replaced(after, room)]
        replaced = [arrival.item for arrival in arrivals if isinstance(arrival.item, RoomReplaced)]
        await unit.note_replaced({item.room: item.successor for item in replaced})
        changed += [item.room for item in replaced]
        arrivals += [
            self._invited(invite.room_id, invite.sender, since)
            for invite in batch.invites
            if self._invites.allows(invite.sender)
        ]
        left = await unit.rooms(batch.left) if batch.left else {}
        arrivals += self._lost(left, since)
        # Nothing tells of a room that was forgotten, as that of somebody erased: its end does not make it known anew.
        await unit.save_rooms([replace(NO_ROOM, room_id=room_id, membership="leave") for room_id in left])
        missing = await self._vigilance.numbers(unit)
        if replays := await unit.take([*arrivals, *missing]):
            log.warning("replayed ciphertexts refused", extra={"count": len(replays)})
            self._vigilance.refused(replays)
        return [*changed, *batch.left]

    def _back(self, before: RoomState, after: RoomState, since: str | None) -> list[Arrival]:
        is_back = before.membership in ("leave", "ban") and after.membership == "join"
        if not is_back or after.use not in ("group", "case"):
            return []
        log.info("the desk is in a room again", extra={"room_id": after.room_id, "kind": after.use})
        item = DeskBack(account=self._account, room=after.room_id)
        return [Arrival(source_id=f"back|{after.room_id}|{since or ''}", lane=after.room_id, item=item)]

    def _replaced(self, room: RoomState, batch: RoomBatch) -> list[Arrival]:
        """Of somebody's rooms. Behind all that was said before it. A room that is only closed has no successor,
        which is news where the desk makes one."""
        said = (successors.closed if room.use == "case" else successors.replacement)(batch.state)
        if said is None or room.use == "none" or room.succession == "followed":
            return []
        successor, by = said
        log.warning("a room was replaced", extra={"room_id": room.room_id, "kind": room.use})
        item = RoomReplaced(account=self._account, room=room.room_id, successor=successor, by=by)
        return [Arrival(source_id=f"replaced|{room.room_id}|{successor}|{by}", lane=room.room_id, item=item)]

    def _lost(self, known: Mapping[str, RoomState], since: str | None) -> list[Arrival]:
        """Rooms of somebody's that we are in no more."""
        lost = [id for id, room in known.items() if room.membership == "join" and room.use != "none"]
        for room_id in lost:
            log.error("the desk is no longer in a room", extra={"room_id": room_id, "kind": known[room_id].use})
        return [
            Arrival(source_id=f"out|{id}|{since or ''}", lane=id, item=DeskOut(account=self._account, room=id))
            for id in lost
        ]

    async def _arrivals(
        self, unit: IngestUnit, room: RoomState, timeline: Sequence[Mapping[str, Any]]
    ) -> list[Arrival]:
        arrivals = []
        for event in timeline:
            try:
                if self._vigilance.is_deleted(room, event):
                    continue
                opened = self._opened(room.room_id, event)
                self._vigilance.event(room, event, opened)
                if heard.is_verification(event, opened):
                    self._hear(room.room_id, event, opened)
                    self._vigilance.unlisted(room, event, opened)
                    continue
                arrival = convert.arrival(self._account, room, event, opened)
            except (
                Exception
            ) as error:  # one poisonous event must not stop the others; it is kept for a person to look at
                log.error(
                    "event cannot be converted", extra={"event_id": event["event_id"], "error": type(error).__name__}
                )
                await unit.bury(event["event_id"], type(error).__name__, event)
                continue
            if arrival is not None:
                arrivals.append(arrival)
        fp("decrypted")
        return arrivals

    def _hear(self, room_id: str, event: Mapping[str, Any], opened: Decrypted | None) -> None:
        message = heard.in_room(room_id, event, opened, own=self._account)
        if message is not None:
            self._heard.append(message)

    def _opened(self, room_id: str, event: Mapping[str, Any]) -> Decrypted | None:
        if event["type"] != "m.room.encrypted":
            return None
        opened = self._engine.decrypt(room_id, event)
        if opened.state != "new":
            metrics.DECRYPT_FAILURES.of(reason=opened.state).inc()
        return opened

    async def _unpark(self, unit: IngestUnit, sessions: Sequence[tuple[str, str]]) -> None:
        """Events whose key has come: handled in their old place."""
        rows = await unit.parked(sessions)
        if not rows:
            return
        await self._engine.load_sessions(unit, sessions, {row.raw["sender"] for row in rows})
        rooms = await unit.rooms([row.room_id for row in rows])
        for row in rows:
            opened = self._engine.decrypt(row.room_id, row.raw)
            if opened.state == row.state:
                continue
            room = rooms.get(row.room_id) or replace(NO_ROOM, room_id=row.room_id)
            self._vigilance.event(room, row.raw, opened)
            arrival = convert.arrival(self._account, room, row.raw, opened, is_late=row.is_late)
            if arrival is not None:
                await unit.unpark(row, arrival)

    def _invited(self, room_id: str, sender: str, since: str | None) -> Arrival:
        server = server_of(sender)
        is_ours = server == server_of(self._account)
        item = ChatInvited(
            account=self._account,
            chat=room_id,
            sender=Handle(kind="mxid", value=sender),
            server=server,
            at=utc_now(),
        )
        due = None if is_ours else self._invites.not_before(server, steady := _steady_now())
        patience = due - steady if due else timedelta(0)
        return Arrival(
            source_id=f"invite|{room_id}|{since or ''}", lane=f"invite|{server}", item=item, patience=patience
        )

    async def _fill_gaps(self, batch: SyncBatch, since: str | None) -> SyncBatch:
        """A limited timeline is paged backwards to our own token, oldest first. The first sync has no gap: history
        before our time is not paged."""
        if since is None or not any(room.is_limited for room in batch.rooms):
            return batch
        return replace(
            batch, rooms=[await self._filled(room, since) if room.is_limited else room for room in batch.rooms]
        )

    async def _filled(self, room: RoomBatch, since: str) -> RoomBatch:
        metrics.SYNC_GAPS.of(desk=self._account).inc()
        # What was said in a room between our invitation and our joining stands before our token. Only the batch itself
        # tells that we have just come in: the sender may know the room already.
        until = None if any(self._lets_us_in(event) for event in room.state) else since
        older: list[Mapping[str, Any]] = []
        start, pages = room.prev_batch, 0
        while start and pages < GAP_PAGES:
            chunk, start = await self._page_if_allowed(room.room_id, start, until)
            older += chunk
            pages += 1
            if until is None and any(self._invites_us(event) for event in chunk):
                break
        else:
            if start:
                log.error("a gap is too long to be filled", extra={"room_id": room.room_id, "count": len(older)})
        older.reverse()
        if until is None:
            older = self._since_invited(older)
        return replace(room, state=[*state_events(older), *room.state], timeline=[*older, *room.timeline])

    async def _page_if_allowed(
        self, room_id: str, start: str, until: str | None
    ) -> tuple[list[Mapping[str, Any]], str]:
        """A room that the homeserver keeps from us (we were thrown out, it was deleted) must not stop the others."""
        try:
            return await self._page(room_id, start, until)
        except MatrixError as error:
            if error.status not in (403, 404):
                raise
            log.error("a gap cannot be filled: refused", extra={"room_id": room_id, "errcode": error.errcode})
            return [], ""

    async def _page(self, room_id: str, start: str, until: str | None) -> tuple[list[Mapping[str, Any]], str]:
        """Events, newest first, and where the next page begins; "" at the end."""
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


def _crypto(batch: SyncBatch) -> SyncCrypto:
    encrypted = [
        (room.room_id, event) for room in batch.rooms for event in room.timeline if event["type"] == "m.room.encrypted"
    ]
    return SyncCrypto(
        to_device=batch.to_device,
        changed=batch.changed,
        left=batch.gone,
        one_time_keys=batch.one_time_keys,
        unused_fallback_keys=batch.unused_fallback_keys,
        events=encrypted,
    )


def _steady_now() -> datetime:
    """For distances only: it goes on evenly whatever happens to the clock."""
    return datetime.fromtimestamp(time.monotonic(), UTC)


def _moment_ms(event: Mapping[str, Any]) -> int:
    at = event.get("origin_server_ts")
    return at if isinstance(at, int) else 0


def _query(most_events: int, timeout_ms: int, since: str | None) -> dict[str, str]:
    """Members are left out of the first answer only: later, Synapse must work harder to leave them out than to send
    them."""
    room = {
        "timeline": {"limit": most_events},
        "state": {"lazy_load_members": since is None},
        "ephemeral": _NOTHING,
        "account_data": _NOTHING,
    }
    filter = json.dumps({"presence": _NOTHING, "account_data": _NOTHING, "room": room}, separators=(",", ":"))
    return {"filter": filter, "timeout": str(timeout_ms)} | ({"since": since} if since else {})
