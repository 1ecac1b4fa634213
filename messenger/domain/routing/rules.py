"""The first layer of routing: rules by keyword and language, and a default group that always exists."""

from collections.abc import Sequence
from dataclasses import dataclass

from messenger.domain.ids import GroupId
from messenger.domain.people import SkillGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What routing may know of a new conversation."""

    language: str
    first_text: str


@dataclass(frozen=True, slots=True)
class Route:
    """`reason` is a code that explains the choice and goes into the event log; it never quotes the customer."""

    group: GroupId
    reason: str


def route(arrival: Arrival, groups: Sequence[SkillGroup]) -> Route:
    """A keyword is more telling than a language, a language than nothing. Groups are asked in the order given. Raises
    LookupError if there is no group at all."""
    for group in groups:
        if _holds_any(arrival.first_text, group.keywords):
            return Route(group.id, "keyword")
    for group in groups:
        if arrival.language in group.languages:
            return Route(group.id, f"language:{arrival.language}")
    return Route(default_group(groups), "default")


def default_group(groups: Sequence[SkillGroup]) -> GroupId:
    """Raises LookupError if there is no group at all."""
    default = next((group for group in groups if group.is_default), None) or next(iter(groups), None)
    if default is None:
        raise LookupError("there is no skill group: stellwerk group add NAME --default")
    return default.id


def _holds_any(text: str, keywords: Sequence[str]) -> bool:
    folded = text.casefold()
    return any(keyword.casefold() in folded for keyword in keywords)
