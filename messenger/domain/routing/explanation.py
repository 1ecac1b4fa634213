"""Why the router decided as it did: ids, codes and numbers only, so it may be stored and shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from messenger.domain.ids import AgentId

NOBODY = "nobody"


class Filter(StrEnum):
    """The reason code of a filter that removes a person. In the order of how hard it is to get past: the last one that
    stops somebody is what the conversation waits for."""

    ROLE = "role"
    SKILLS = "skills"
    LANGUAGE = "language"
    AVAILABILITY = "availability"
    DECLINED = "declined"
    CAPACITY = "capacity"
    RESERVED = "reserved"
    STICKY = "sticky"


_HARDNESS = {code: place for place, code in enumerate(Filter)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One person as seen by one decision. `position` counts from 1 among those whom no filter removed. The numbers are
    compared in this order: fewer preferred skills missing, lower share of the units in use, longer idle."""

    agent: AgentId
    removed_by: tuple[Filter, ...]
    position: int | None
    preferred_missing: int
    load: float
    units: float
    idle_since: datetime | None

    def as_json(self) -> dict[str, object]:
        return {
            "agent": str(self.agent),
            "removed_by": [code.value for code in self.removed_by],
            "position": self.position,
            "preferred_missing": self.preferred_missing,
            "load": round(self.load, 6),
            "units": self.units,
            "idle_since": self.idle_since.isoformat() if self.idle_since else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The best come first; those whom a filter removed follow, the nearest to being chosen before the others."""

    candidates: tuple[Candidate, ...]

    @property
    def reason(self) -> str:
        """`chosen`, or what it waits for: how far the nearest candidate came (a code of `Filter`), or `nobody`."""
        if not self.candidates:
            return NOBODY
        nearest = self.candidates[0]
        return nearest.removed_by[0].value if nearest.removed_by else "chosen"

    def as_json(self, *, most: int | None = None) -> dict[str, object]:
        """`most`: so many candidates in full; `of` says how many there were."""
        shown = self.candidates if most is None else self.candidates[:most]
        return {
            "layer": "fcfs_alis",
            "reason": self.reason,
            "of": len(self.candidates),
            "free": sum(candidate.position is not None for candidate in self.candidates),
            "candidates": [candidate.as_json() for candidate in shown],
        }


def nearest_first(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=_nearness))


def _nearness(candidate: Candidate) -> tuple[int, int, AgentId]:
    if candidate.position is not None:
        return 0, candidate.position, candidate.agent
    return 1, -_HARDNESS[candidate.removed_by[0]], candidate.agent
