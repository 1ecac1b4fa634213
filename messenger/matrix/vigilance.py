"""Brings what only a dishonest homeserver or sender does to those who must know: as rows of the batch in which it was
found, so that it is told once and not lost by a crash. What it means, and who hears it, is the core's."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from messenger.app.desk_ports import Arrival, Ciphertext, IngestUnit, RoomState
from messenger.app.items import MessagesMissing, TrustDoubted, TrustSettled
from messenger.matrix import watch
from messenger.matrix.engine import CryptoEngine, Decrypted
from messenger.matrix.suspicion import Suspicion
from messenger.matrix.watch import Gap, Numbered, Numbers, Told

_IN = ("join", "invite")
# Over a slow line a later message may overtake an earlier one. A lane waits as long for a key.
OVERTAKEN = timedelta(seconds=10)


class Vigilance:
    """What is found in one batch waits for `rows`, in the batch's transaction; `committed` or `forget` ends it."""

    def __init__(self, engine: CryptoEngine, *, account: str) -> None:
        self._engine, self._account = engine, account
        self._told, self._numbers = Told(), Numbers()
        self._start()

    def _start(self) -> None:
        self._found: list[Suspicion] = []
        self._settled: list[str] = []
        self._opened: list[Numbered] = []
        self._unlisted: dict[str, Ciphertext] = {}
        self._replays: dict[str, Suspicion] = {}
        self._telling: list[Suspicion] = []

    def is_deleted(self, room: RoomState, event: Mapping[str, Any]) -> bool:
        """Nothing is left of it to be read."""
        deleted = watch.is_deleted(event)
        if deleted and event["type"] == "m.room.encrypted":
            self._numbers.excuse(room.room_id, event["sender"])
        return deleted

    def event(self, room: RoomState, event: Mapping[str, Any], opened: Decrypted | None) -> None:
        if (found := watch.of_event(room, event, opened, own=self._account)) is not None:
            self._found.append(found)
        ciphertext = opened.ciphertext(room.room_id) if opened is not None else None
        if ciphertext is None or opened is None or event["sender"] == self._account:
            return
        *session, index = ciphertext
        name = session[0], session[1], session[2]
        self._opened.append(Numbered(session=name, index=index, first=opened.first_index, user=event["sender"]))
        self._replays[event["event_id"]] = Suspicion(cause="replayed", room=room.room_id, user=event["sender"])

    def unlisted(self, room: RoomState, event: Mapping[str, Any], opened: Decrypted | None) -> None:
        """It makes no row, but its ciphertext is used up like any other."""
        ciphertext = opened.ciphertext(room.room_id) if opened is not None else None
        if ciphertext is not None and event["sender"] != self._account:
            self._unlisted[event["event_id"]] = ciphertext

    def malformed(self, room: RoomState) -> None:
        self._found.append(Suspicion(cause="malformed", room=room.room_id))

    def state(self, before: RoomState, after: RoomState, events: Iterable[Mapping[str, Any]]) -> None:
        self._found += watch.of_state(before, after, events, own=self._account)
        if watch.is_encrypted_again(before, after):
            self._settled.append(after.room_id)

    async def members(self, unit: IngestUnit, room: RoomState, members: Mapping[str, str]) -> None:
        """Before they are saved. Whom nobody knows stops the room (`Sender`); who was of the staff gets no key and
        stops nothing, but does not come back by himself."""
        came = [user for user, membership in members.items() if membership in _IN and user != self._account]
        if came and room.use in watch.OURS and room.members_known:
            for user in sorted(await unit.uninvited_staff(room.room_id, came)):
                self._found.append(Suspicion(cause="returned_member", room=room.room_id, user=user))

    def refused(self, source_ids: Iterable[str]) -> None:
        """Replays."""
        self._found += [self._replays[source_id] for source_id in source_ids if source_id in self._replays]

    async def numbers(self, unit: IngestUnit) -> list[Arrival]:
        """Before this batch's ciphertexts are saved as seen."""
        last_known = await unit.last_numbers(self._numbers.unknown(self._opened))
        gaps, self._opened = self._numbers.gaps(self._opened, last_known), []
        return [self._missing(gap) for gap in gaps]

    async def rows(self, unit: IngestUnit, token: str) -> list[Arrival]:
        """`token` names the batch."""
        if self._unlisted:
            self.refused(await unit.note_seen(self._unlisted))
        found = [*self._found, *await self._true_ones(unit, self._engine.suspicions())]
        self._telling = self._told.fresh(found, time.monotonic())
        doubts = [self._doubt(each, token) for each in self._telling]
        return doubts + [self._settling(room, token) for room in self._settled]

    def committed(self) -> None:
        self._engine.reported(self._engine.suspicions())
        self._told.note(self._telling, time.monotonic())
        self._start()

    def forget(self) -> None:
        """The batch comes again."""
        self._numbers.forget()
        self._start()

    async def _true_ones(self, unit: IngestUnit, found: Sequence[Suspicion]) -> list[Suspicion]:
        """Who invites us may hand over the past of their room, which we do not take; nobody may for one of ours. Rooms
        that we know nothing of are not named: the sender could name any."""
        if not found:
            return []
        rooms = await unit.rooms(sorted({each.room for each in found if each.room}))
        true = []
        for each in found:
            room = rooms.get(each.room)
            is_ours = room is not None and room.use in watch.OURS
            if each.cause != "forged_history" or is_ours or (room is not None and not await _is_in(unit, each)):
                true.append(each if room is not None else replace(each, room=""))
        return true

    def _doubt(self, found: Suspicion, token: str) -> Arrival:
        item = TrustDoubted(
            account=self._account,
            room=found.room,
            user=found.user or self._account,
            cause=found.cause,
            device=found.device,
        )
        name = f"suspicion|{found.cause}|{found.room}|{found.user}|{found.device}|{token}"
        return Arrival(source_id=name, lane=f"trust:{found.room}", item=item)

    def _settling(self, room: str, token: str) -> Arrival:
        item = TrustSettled(account=self._account, room=room, cause="encryption_off")
        return Arrival(source_id=f"settled|{room}|{token}", lane=f"trust:{room}", item=item)

    def _missing(self, gap: Gap) -> Arrival:
        room, sender_key, session = gap.session
        item = MessagesMissing(
            account=self._account,
            room=room,
            user=gap.user,
            sender_key=sender_key,
            session=session,
            first=gap.first,
            last=gap.last,
        )
        lane = f"gap|{sender_key}|{session}"
        return Arrival(source_id=f"{lane}|{gap.first}|{gap.last}", lane=lane, item=item, patience=OVERTAKEN)


async def _is_in(unit: IngestUnit, found: Suspicion) -> bool:
    return found.user in await unit.entitled(found.room)
