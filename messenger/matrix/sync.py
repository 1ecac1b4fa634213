"""The sync loop: everything that a batch brings, and the token that acknowledges it, in ONE transaction, the token
last. (A backlog of thousands comes in several, the token with the last: what is taken twice is one row.)

A crash anywhere before COMMIT brings the same batch again; a crash after it brings the next. Memory never runs ahead of
the database: when the transaction fails, the Olm machine is thrown away and loaded again.

While a gap cannot be read, all other rooms are taken from each answer, and the token is not kept: a process that ends
begins before the gap.

What fails again and again, and by nobody's absence, is taken in parts: what cannot be taken alone is buried with the
token's transaction, so that it stops neither the other rooms nor those who come after it."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from messenger.app.desk_ports import Arrival, IngestStore, IngestUnit, RoomState
from messenger.app.items import ChatInvited, DeskBack, DeskOut, RoomReplaced
from messenger.app.ports import StorageAway
from messenger.channels.errors import LeaseLost
from messenger.channels.messages import Handle
from messenger.matrix import convert, room_state, successors
from messenger.matrix.batch import RoomBatch, SyncBatch, parse, server_of
from messenger.matrix.engine import CryptoEngine, Decrypted, SyncCrypto
from messenger.matrix.gaps import Gaps
from messenger.matrix.http import CLIENT, AnswerTooLarge, HomeserverClient, MatrixError, Unreachable
from messenger.matrix.invites import InvitePolicy, steady_now
from messenger.matrix.parts import MOST_AT_ONCE, Part, only, parts_of, pieces_of
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
WHOLE_TRIES = 3  # then a batch is taken in parts
# Nothing in the batch has to do with it: it is tried until it works, as a whole.
_PASSING = (LeaseLost, StorageAway, MatrixError, Unreachable, OSError)
NO_ROOM = RoomState(room_id="")


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
        self._vigilance, self._gaps = Vigilance(engine, account=store.account), Gaps(http, account=store.account)
        self._account, self._most_events = store.account, MOST_EVENTS
        self._since: str | None = None
        self._failures = 0  # of the batch that comes after `_since`
        self.heard_at = time.monotonic()  # when the last batch was committed; in the beginning, when we were made
        self._asked_at, self._spacing_s, self._has_started = 0.0, SPACING_S, False

    async def once(self, *, timeout_ms: int = LONG_POLL_MS) -> int:
        """One batch. Returns the number of room events in it. Raises when it could not be committed; it comes again."""
        if not self._has_started:
            await self._start()
        since = self._since
        await self._keep_distance()
        answer = await self._ask(since, self._gaps.patience_ms(timeout_ms))
        answered_at = time.monotonic()
        batch = await self._gaps.fill(answer, since)
        await self._take_or_bury(batch, since)
        self._count(batch, answered_at)
        self._gaps.taken(batch)
        self._since, self._most_events = batch.next_batch, MOST_EVENTS
        await self._engine.settle()
        count = sum(len(room.timeline) for room in batch.rooms)
        self._spacing_s = min(max(SPACING_S, count * SPACING_OF_AN_EVENT_S), LONGEST_SPACING_S)
        return count

    @property
    def is_behind(self) -> bool:
        """A gap waits."""
        return self._gaps.is_behind

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
        batch = replace(answer, rooms=[await self._gaps.read_back(room, not_before) for room in answer.rooms])
        await self._commit(batch, None)

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

    async def _take_or_bury(self, batch: SyncBatch, since: str | None) -> None:
        try:
            *before, last = pieces_of(batch)
            for piece in before:
                await self._commit(piece, since, is_part=True)
            await self._commit(last, since)
        except _PASSING:
            raise
        except Exception as error:
            self._failures += 1
            if self._failures < WHOLE_TRIES:
                raise
            log.error("a batch cannot be taken as a whole", extra={"error": type(error).__name__})
            await self._commit_in_parts(batch, since)
        self._failures = 0

    async def _commit_in_parts(self, batch: SyncBatch, since: str | None) -> None:
        """A crash on the way brings all of it again; what was taken by then is not taken twice."""
        nothing = only(batch, [])
        await self._commit(nothing, since, is_part=True)  # if this fails, none of the parts is to blame
        suspects = await self._suspects(batch, since)
        bad = await self._bad_among(batch, [part for part, _ in suspects], since)  # a second chance
        for part, reason in bad:
            log.error("a part of a batch is put aside", extra={"event_id": part.name, "error": reason})
        await self._commit(nothing, since, buried=bad)

    async def _suspects(self, batch: SyncBatch, since: str | None) -> list[tuple[Part, str]]:
        parts = parts_of(batch)
        found: list[tuple[Part, str]] = []
        for start in range(0, len(parts), MOST_AT_ONCE):
            found += await self._bad_among(batch, parts[start : start + MOST_AT_ONCE], since)
        return found

    async def _bad_among(
        self, batch: SyncBatch, parts: Sequence[Part], since: str | None
    ) -> Sequence[tuple[Part, str]]:
        """Takes all the others, in their order. Returns with each the kind of its error."""
        try:
            await self._commit(only(batch, parts), since, is_part=True)
        except _PASSING:
            raise
        except Exception as error:
            if len(parts) <= 1:
                return [(part, type(error).__name__) for part in parts]
            half = len(parts) // 2
            first = await self._bad_among(batch, parts[:half], since)
            return [*first, *await self._bad_among(batch, parts[half:], since)]
        return []

    async def _commit(
        self,
        batch: SyncBatch,
        since: str | None,
        *,
        is_part: bool = False,
        buried: Sequence[tuple[Part, str]] = (),
    ) -> None:
        """`is_part`: the token is not kept, as it is not while a gap waits."""
        is_part = is_part or bool(batch.behind)
        crypto = _crypto(batch)
        self._heard = []
        await self._engine.prepare(crypto)
        try:
            async with self._engine.exclusive(), self._store.unit() if is_part else self._store.batch() as unit:
                learned = await self._engine.receive(unit, crypto)
                changed = await self._take(unit, batch, since)
                await self._unpark(unit, list(learned))
                await self._engine.flush(unit)
                if alerts := await self._vigilance.rows(unit, batch.next_batch):
                    await unit.take(alerts)
                for part, reason in buried:
                    await unit.bury(part.name, reason, part.raw)
                if not is_part:
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
        """Events whose key has come: handled in their old place. Those whose key is withheld go on waiting, and who was
        told that they wait hears why."""
        rows = await unit.parked(sessions)
        if not rows:
            return
        await self._engine.load_sessions(unit, sessions, {row.raw["sender"] for row in rows})
        rooms = await unit.rooms([row.room_id for row in rows])
        for row in rows:
            opened = self._engine.decrypt(row.room_id, row.raw)
            is_as_before = opened.state == row.state
            if is_as_before and not opened.is_withheld:
                continue
            room = rooms.get(row.room_id) or replace(NO_ROOM, room_id=row.room_id)
            self._vigilance.event(room, row.raw, opened)
            arrival = convert.arrival(self._account, room, row.raw, opened, is_late=row.is_late)
            if arrival is not None:
                await (unit.say_why if is_as_before else unit.unpark)(row, arrival)

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
        due = None if is_ours else self._invites.not_before(server, steady := steady_now())
        patience = due - steady if due else timedelta(0)
        return Arrival(
            source_id=f"invite|{room_id}|{since or ''}", lane=f"invite|{server}", item=item, patience=patience
        )


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
