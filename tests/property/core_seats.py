"""Who may answer in which group, while that changes; and what may never get to a customer, because who said it could
not answer anywhere from when they said it until it was read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.integration.staff_desk import StaffDesk

BEN, CLEO, PIA, DANA = "@ben:x", "@cleo:x", "@pia:x", "@dana:x"
STAFF = (BEN, CLEO, PIA, DANA)
FIRST = {"Claims": {BEN: "agent", CLEO: "agent", DANA: "clerk"}, "Pharmacy": {PIA: "agent", CLEO: "agent"}}


@dataclass(slots=True)
class Seats:
    """`_unread` is forbidden as long as its author gets no right before it is read; `_forbidden` for ever."""

    now: dict[str, dict[str, str]] = field(
        default_factory=lambda: {group: dict(seats) for group, seats in FIRST.items()}
    )
    _unread: list[tuple[str, str]] = field(default_factory=list)
    _forbidden: set[str] = field(default_factory=set)

    def may_answer(self, person: str, group: str | None = None) -> bool:
        groups = [group] if group is not None else [*self.now]
        return any(self.now[each].get(person) == "agent" for each in groups)

    async def change(self, desk: StaffDesk, group: str, person: str, role: str) -> None:
        """`role`: empty for out of the group."""
        if role:
            await desk.add_member(group, person, role)
            self.now[group][person] = role
        elif self.now[group].pop(person, ""):
            await desk.remove_member(group, person)
        if role == "agent":  # what they said while they could not may be read now
            self._unread = [(author, token) for author, token in self._unread if author != person]

    def says(self, author: str, token: str, *, group: str | None = None) -> None:
        """`group`: the one where it will be read, if that is certain."""
        if not self.may_answer(author) or (group is not None and not self.may_answer(author, group)):
            self._unread.append((author, token))

    def all_is_read(self) -> None:
        self._forbidden |= {token for _, token in self._unread}
        self._unread = []

    def forbidden_in(self, texts: Sequence[str]) -> Sequence[str]:
        tokens = self._forbidden | {token for _, token in self._unread}
        return [text for text in texts if tokens.intersection(re.findall(r"\w+", text))]
