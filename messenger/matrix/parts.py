"""A batch in its smallest parts, for one that cannot be committed as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from messenger.matrix.batch import Invite, RoomBatch, SyncBatch


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
    """In the order in which a batch is taken."""
    found = [Part(kind="to_device", where="", value=event) for event in batch.to_device]
    for room in batch.rooms:
        found += [Part(kind="state", where=room.room_id, value=event) for event in room.state]
        found += [Part(kind="timeline", where=room.room_id, value=event) for event in room.timeline]
        found += [Part(kind="malformed", where=room.room_id, value=room.malformed)] if room.malformed else []
    found += [Part(kind="invite", where=invite.room_id, value=invite) for invite in batch.invites]
    return found + [Part(kind="left", where=room_id, value=room_id) for room_id in batch.left]


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
