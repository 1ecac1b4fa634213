"""Does the homeserver take what is sent? The sends themselves see it: where /sync goes on and only the rest is away,
nothing else tells that it is back."""

import math
from dataclasses import dataclass, field

LANES, AWAY_S, REST_S, LONGEST_REST_S = 3, 5.0, 30.0, 300.0


@dataclass(slots=True, kw_only=True)
class Reach:
    """It was away if sends failed in three lanes and nothing got through for five seconds: one room that is always
    refused is no outage, and neither is a homeserver that refuses every other call. The first that gets through then
    says that it is back, not within 30 seconds of the last time, and ever more rarely where that goes on: many lanes
    may lead into one broken room. `now` is in seconds of a clock that goes on evenly."""

    away_s: float = AWAY_S
    _failed: set[str] = field(default_factory=set)
    _since: float = 0.0
    _is_owed: bool = False
    _back_at: float = -math.inf
    _rest_s: float = REST_S

    def failed(self, lane: str, now: float) -> None:
        if not self._failed:
            self._since = now
        if len(self._failed) < LANES:
            self._failed.add(lane)

    def is_back(self, now: float) -> bool:
        """Something got through. Returns whether all that was put off shall be tried now."""
        self._is_owed = self._is_owed or (len(self._failed) == LANES and now - self._since >= self.away_s)
        self._failed.clear()
        passed = now - self._back_at
        if not self._is_owed or passed < self._rest_s:
            return False
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S) if passed < 2 * self._rest_s else REST_S
        self._is_owed, self._back_at = False, now
        return True
