"""A batch in its smallest parts, for one that cannot be committed as a whole; and in pieces, for one that is too long
for one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from messenger.matrix.batch import Invite, RoomBatch, SyncBatch
from messenger.matrix.successors import TOMBSTONE

MOST_AT_ONCE = 300  # parts, in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that a batch says. `where`: the room, "" for a to-device message."""

    kind: Literal["to_device", "state", "timeline", "malformed", "invite", "left"]
    where: str
    value: Any

    @property
    def name(self) -> str:
        """The event's id, or what comes nearest to one."""
        return str(self.value["event_id"]) if self.kind in ("state", "timeline") else f"{self.kind}|{self.where}"

    @property
    def raw(self) -> Mapping[str, Any]:
        """As it is kept for a person to look at. Its sender is found in it when they are erased."""
        match self.value:
            case Mapping():
                return {**self.value, "room_id": self.where}
            case Invite(sender=sender):
                return {"sender": sender, "room_id": self.where}
            case other:
                return {"value": other, "room_id": self.where}


def parts_of(batch: SyncBatch) -> list[Part]:
    """In the order in which a batch is taken. What ends a room comes behind what was said in it."""
    found = [Part(kind="to_device", where="", value=event) for event in batch.to_device]
    for room in batch.rooms:
        state = [Part(kind="state", where=room.room_id, value=event) for event in room.state]
        found += [part for part in state if not _is_end(part)]
        found += [Part(kind="timeline", where=room.room_id, value=event) for event in room.timeline]
        found += [Part(kind="malformed", where=room.room_id, value=room.malformed)] if room.malformed else []
        found += [part for part in state if _is_end(part)]
    found += [Part(kind="invite", where=invite.room_id, value=invite) for invite in batch.invites]
    return found + [Part(kind="left", where=room_id, value=room_id) for room_id in batch.left]


def pieces_of(batch: SyncBatch, most: int = MOST_AT_ONCE) -> list[SyncBatch]:
    """A backlog of thousands, to be taken one after the other: in one transaction it would keep the database waiting so
    long that the database ends it, and the lease from being renewed."""
    if _size(batch) <= most:
        return [batch]
    parts = parts_of(batch)
    first, *others = [only(batch, parts[start : start + most]) for start in range(0, len(parts), most)]
    return [first, *(replace(other, changed=(), gone=()) for other in others)]


def _size(batch: SyncBatch) -> int:
    in_rooms = sum(len(room.state) + len(room.timeline) for room in batch.rooms)
    return in_rooms + len(batch.to_device) + len(batch.invites) + len(batch.left)


def _is_end(part: Part) -> bool:
    return part.kind == "state" and part.value["type"] == TOMBSTONE


def only(batch: SyncBatch, parts: Sequence[Part]) -> SyncBatch:
    """What is in no part stays: counts of keys, and whose devices changed."""
    in_room: dict[str, list[Part]] = {}
    for part in parts:
        if part.kind in ("state", "timeline", "malformed"):
            in_room.setdefault(part.where, []).append(part)
    return replace(
        batch,
        to_device=_values(parts, "to_device"),
        rooms=[_room(room, in_room[room.room_id]) for room in batch.rooms if room.room_id in in_room],
        invites=_values(parts, "invite"),
        left=_values(parts, "left"),
    )


def _room(room: RoomBatch, parts: Sequence[Part]) -> RoomBatch:
    malformed = sum(_values(parts, "malformed"))
    return replace(
        room, state=_values(parts, "state"), timeline=_values(parts, "timeline"), malformed=malformed, is_limited=False
    )


def _values(parts: Sequence[Part], kind: str) -> list[Any]:
    return [part.value for part in parts if part.kind == kind]
