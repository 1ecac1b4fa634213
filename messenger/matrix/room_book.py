"""What the sender must know of a room: is it encrypted, how often do keys rotate, who may read. Kept in memory until
the sync loop or a change of membership says otherwise; the truth is in the database.

Who is of the staff is decided by other processes, too, and what takes somebody out of the room may have to wait behind
something else: rooms of the staff are looked up again after some seconds."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from weakref import WeakValueDictionary

from messenger.app.desk_ports import IngestStore, RoomState
from messenger.channels.errors import Rejected, Temporary, Undecided
from messenger.matrix import room_state, watch
from messenger.matrix.batch import events
from messenger.matrix.engine import Doubt, Doubted
from messenger.matrix.http import CLIENT, HomeserverClient, path

REMEMBERED = 5_000
READS = 5  # of a room that changes each time while it is read
STAFF_BELIEVED_S = 5.0  # so long somebody who was taken out of a group may get keys
LOOK_AGAIN = timedelta(seconds=10)  # whether somebody has let us in again
_SHARED = ("shared", "world_readable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    state: RoomState
    recipients: frozenset[str]
    strangers: frozenset[str]  # in the room, but nobody whom our database knows there

    @property
    def is_history_shared(self) -> bool:
        return self.state.history_visibility in _SHARED


class PersonLeft(Rejected):
    """The customer is not in the chat any more: what we said there nobody would read."""

    def __init__(self) -> None:
        super().__init__("left")


class _Overtaken(Exception):
    """Rooms have changed since the homeserver answered: what it said must not cover what is known since."""


class RoomBook:
    def __init__(
        self, http: HomeserverClient, store: IngestStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http, self._store, self._clock = http, store, clock
        self._rooms: OrderedDict[str, tuple[Room, float]] = OrderedDict()
        self._changes = 0  # what is being read while something changes is read again: it may be of before
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def account(self) -> str:
        return self._store.account

    def forget(self, room_ids: Sequence[str]) -> None:
        self._changes += 1
        for room_id in room_ids:
            self._rooms.pop(room_id, None)

    async def expect(self, room_id: str, user_id: str) -> None:
        """Somebody is about to be invited. The sync says later that they are there; what is said from now on is for
        them already, or they would miss what is said while they come in."""
        async with self._lock(room_id):
            state = await self._store.room(room_id)
            if state is not None and state.members_known:
                async with self._store.unit() as unit:
                    await unit.save_members(room_id, {user_id: "invite"}, complete=False)
        self.forget([room_id])

    async def encrypted(self, room_id: str) -> Room:
        """The room, if it may be written to. Raises Rejected for a room that was never encrypted, and Doubted for one
        that is encrypted by an algorithm which we do not know, or was made by us and is not encrypted: nothing is ever
        sent in clear."""
        room = self._remembered(room_id) or await self._load(room_id)
        if room.state.use == "chat" and room.state.succession == "pending":
            self.forget([room_id])  # what ends it is decided elsewhere
            raise Temporary("unreachable", raw_code="the room was replaced, and the new one is not proved yet")
        _must_be_inside(room)
        is_ours = room.state.encrypted or room.state.use in watch.OURS
        if is_ours and room.state.algorithm != room_state.MEGOLM:
            raise Doubted([Doubt(user=self._store.account, cause="encryption_off")])
        if not room.state.encrypted:
            raise Rejected("no_key", raw_code="room is not encrypted")
        if room.state.use == "chat" and room.recipients <= {self._store.account}:
            raise PersonLeft
        return room

    async def is_encrypted(self, room_id: str) -> bool:
        """As the homeserver says now, or has ever said. Raises MatrixError, Unreachable, and Temporary where the room's
        state cannot be learnt."""
        return (await self._learned(room_id)).encrypted

    async def must_be_inside(self, room_id: str) -> None:
        """Raises Undecided for a room of the staff that has thrown us out: what is to be done there waits."""
        _must_be_inside(self._remembered(room_id) or await self._load(room_id))

    async def keep_encrypted(self, room_id: str) -> None:
        """A person has decided: whatever the room's state says, it goes on as before."""
        async with self._store.unit() as unit:
            known = await unit.rooms([room_id])
            if room_id in known:
                pinned = replace(known[room_id], encrypted=True, algorithm=room_state.MEGOLM)
                await unit.save_rooms([pinned])
        self.forget([room_id])

    def _remembered(self, room_id: str) -> Room | None:
        room, at = self._rooms.get(room_id, (None, 0.0))
        is_old = room is not None and room.state.use in watch.OURS and self._clock() - at >= STAFF_BELIEVED_S
        return None if is_old else room

    async def _load(self, room_id: str) -> Room:
        for _ in range(READS):
            changes, asked_at = self._changes, self._clock()
            room = await self._looked_up(room_id)
            if changes == self._changes:
                self._remember(room_id, room, asked_at)
                break
        return room

    def _remember(self, room_id: str, room: Room, at: float) -> None:
        self._rooms[room_id] = room, at
        while len(self._rooms) > REMEMBERED:
            self._rooms.popitem(last=False)

    async def _looked_up(self, room_id: str) -> Room:
        state = await self._store.room(room_id)
        if state is None or not _is_known(state):
            state = await self._learned(room_id)
        audience = await self._store.audience(room_id)
        return Room(
            state=state,
            recipients=audience.members & audience.entitled,
            strangers=audience.members - audience.entitled - audience.tolerated,
        )

    async def _learned(self, room_id: str) -> RoomState:
        for _ in range(READS):
            try:
                async with self._lock(room_id):
                    return await self._ask(room_id)
            except _Overtaken:
                continue
        raise Temporary("unreachable", raw_code="rooms change faster than they can be read")

    async def _ask(self, room_id: str) -> RoomState:
        """Reads the whole state of one room from the homeserver: at the first send to it, never at a restart."""
        changes = self._changes
        answer = await self._http.call("GET", f"{CLIENT}/rooms/{path(room_id)}/state")
        async with self._store.unit() as unit:
            before = (await unit.rooms([room_id])).get(room_id) or RoomState(room_id=room_id)
            after, members = room_state.apply(before, events(answer), own=self._store.account)
            if self._store.account not in members:
                raise Temporary("unreachable", raw_code="the room's state lacks ourselves")
            await unit.save_rooms([replace(after, members_known=True)])
            await unit.save_members(room_id, members, complete=True)
            known = (await unit.rooms([room_id]))[room_id]
            if changes != self._changes:
                raise _Overtaken  # nothing of this is committed
        return known

    def _lock(self, room_id: str) -> asyncio.Lock:
        return self._asking.setdefault(room_id, asyncio.Lock())


def _is_known(state: RoomState) -> bool:
    return _is_out(state) or (state.members_known and state.encrypted)


def _is_out(state: RoomState) -> bool:
    """Of a room of the staff. Whoever is banned may not even ask; the next sync says when we are back."""
    return state.membership != "join" and state.use in ("group", "case")


def _must_be_inside(room: Room) -> None:
    """A customer may end a chat with us; the staff's rooms are ours, and somebody has to put that right."""
    if room.state.membership == "join":
        return
    if _is_out(room.state):
        raise Undecided(retry_after=LOOK_AGAIN, raw_code="not in the room")
    raise Rejected("blocked", raw_code="not in the room")
