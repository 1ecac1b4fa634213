"""The customer's choice from a short numbered menu: which groups it names, and what an answer means."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from messenger.domain.ids import GroupId
from messenger.domain.people import SkillGroup
from messenger.domain.routing.rules import Arrival, by_keyword, serving

MOST_CHOICES = 20  # of a poll (MSC3381); more than nine are no short menu anyway

# `2`, `2.`, `(2)`, `#2`, and `2. Bills` as clients without polls show it.
_NUMBER = re.compile(r"[(\[#]?\s*(\d{1,2})\s*[.)\]:、。]*")


@dataclass(frozen=True, slots=True)
class Choice:
    group: GroupId
    label: str


def menu_for(arrival: Arrival, groups: Sequence[SkillGroup]) -> Sequence[GroupId]:
    """The groups between which the customer shall choose; empty if there is nothing to ask: fewer than two have a
    label, or the customer's words decide."""
    offered = [group.id for group in serving(arrival.account, groups) if group.menu_label][:MOST_CHOICES]
    return offered if len(offered) > 1 and by_keyword(arrival, groups) is None else []


def choices(offered: Sequence[GroupId], groups: Sequence[SkillGroup]) -> Sequence[Choice]:
    """In the order in which they were offered: numbers stay what they were. A group whose label was taken away
    meanwhile is called by its name."""
    known = {group.id: group for group in groups}
    return [Choice(id, known[id].menu_label or known[id].name) for id in offered if id in known]


def read_choice(text: str, offered: Sequence[Choice]) -> GroupId | None:
    """The group that an answer means: by number, by label, or by both as they stand in the menu; None for any other
    text."""
    said = _unified(text)
    number = _NUMBER.match(said)
    if number:
        rest, position = said[number.end() :].strip(), int(number[1])
        if 1 <= position <= len(offered) and rest in ("", _unified(offered[position - 1].label)):
            return offered[position - 1].group
    fitting = {choice.group for choice in offered if _unified(choice.label) == said.strip(" .!。！")}
    return fitting.pop() if len(fitting) == 1 else None


def _unified(text: str) -> str:
    """Small, narrow, with single spaces: ` ２ ` is 2."""
    return " ".join(unicodedata.normalize("NFKC", text[:200]).casefold().split())
