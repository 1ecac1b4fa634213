"""The oracle of the crash tests: what senders know to be sent, compared with what arrived.

A message carries a token, `c3-0017`: the 17th thing that customer 3 wrote; `a3-0017` is the 17th answer to customer 3.
The letters and the number before the dash are the lane: its target is exactly one thread or one chat."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256

_TOKEN = re.compile(r"\b([ac]\d+)-\d{4}\b")


def token_in(text: str) -> str | None:
    found = _TOKEN.search(text)
    return found.group(0) if found else None


def lane_of(token: str) -> str:
    return token.partition("-")[0]


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message at its target; `digest` is that of the file, if it is one."""

    token: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Empty everywhere: each acknowledged message arrived exactly once, in order, unharmed, and nowhere else."""

    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    disordered: Sequence[str] = ()  # lanes
    strayed: Sequence[str] = ()  # arrived where they do not belong
    spoiled: Sequence[str] = ()  # files with other bytes
    reused: Sequence[str] = ()  # indices of a room key that cover two texts

    def __bool__(self) -> bool:
        return bool(self.kinds)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(each.name for each in fields(self) if getattr(self, each.name))


@dataclass(slots=True)
class Ledger:
    """Notes a send only when the homeserver has acknowledged it. Sends of one lane follow one another."""

    sent: dict[str, list[str]] = field(default_factory=dict)  # lane -> tokens in the order of their acknowledgement
    events: dict[str, str] = field(default_factory=dict)  # token -> event id
    digests: dict[str, str] = field(default_factory=dict)

    def next_token(self, lane: str) -> str:
        return f"{lane}-{len(self.sent.get(lane, ())):04}"

    def acknowledged(self, token: str, event_id: str, *, digest: str = "") -> None:
        self.sent.setdefault(lane_of(token), []).append(token)
        self.events[token] = event_id
        self.digests[token] = digest

    @property
    def count(self) -> int:
        return len(self.events)

    def judge(self, targets: Mapping[str, Sequence[Arrived]]) -> Damage:
        """`targets`: of each lane's target everything with a token that is there, oldest first."""
        everything = [(lane, arrived) for lane, all_there in targets.items() for arrived in all_there]
        at_home = Counter(arrived.token for lane, arrived in everything if lane_of(arrived.token) == lane)
        return Damage(
            lost=sorted(token for token in self.events if token not in at_home),
            doubled=sorted(token for token, times in at_home.items() if times > 1),
            disordered=sorted(lane for lane in self.sent if not self._is_in_order(lane, targets.get(lane, ()))),
            strayed=sorted(f"{a.token} in {lane}" for lane, a in everything if lane_of(a.token) != lane),
            spoiled=sorted({a.token for _, a in everything if a.digest != self.digests.get(a.token, a.digest)}),
        )

    def _is_in_order(self, lane: str, all_there: Sequence[Arrived]) -> bool:
        found = [token for token in dict.fromkeys(arrived.token for arrived in all_there) if token in self.events]
        there = set(found)
        return found == [token for token in self.sent[lane] if token in there]
