"""The first layer of routing: rules by channel account, keyword, language and hours, and a default group that always
exists. (What the customer chooses from a menu stands in `menu`.)

Where somebody wrote is a choice of theirs, so it comes first: for an account that groups name, only these are asked;
other accounts know only the groups that name none. Among them a keyword is more telling than a language, and a language
than nothing.

Closed groups keep their rules: nobody is lost, and nobody lands with people who cannot help because those happen to be
there. Of several groups that fit equally well an open one is taken first. If all are closed, the first one gets it, the
reason says `closed`, and the customer is told when somebody is there again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from messenger.domain.ids import GroupId
from messenger.domain.opening import is_open
from messenger.domain.people import SkillGroup

CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What routing may know of a new conversation. `account` is the channel account that was written to; without a
    moment (`at`) every group counts as open."""

    language: str
    first_text: str
    account: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """`reason` is one code, or two with a space between, that explain the choice and go into the event log: the rule
    (`account`, `keyword`, `language:de`, `default`), and `closed`. It never quotes the customer."""

    group: GroupId
    reason: str


def route(arrival: Arrival, groups: Sequence[SkillGroup]) -> Route:
    """Groups are asked in the order given. Raises LookupError if there is no group at all."""
    asked = serving(arrival.account, groups)
    return (
        by_keyword(arrival, groups)
        or _chosen(arrival, [group for group in asked if arrival.language in group.languages], _language(arrival))
        or _chosen(arrival, [group for group in asked if group.accounts], "account")
        or with_hours(arrival, _default(groups), "default")
    )


def by_keyword(arrival: Arrival, groups: Sequence[SkillGroup]) -> Route | None:
    """The most telling rule: words of the customer."""
    asked = serving(arrival.account, groups)
    return _chosen(arrival, [group for group in asked if _holds_any(arrival.first_text, group.keywords)], "keyword")


def serving(account: str, groups: Sequence[SkillGroup]) -> Sequence[SkillGroup]:
    """The groups whose rules are asked for what comes in by this account."""
    named = [group for group in groups if account.casefold() in {each.casefold() for each in group.accounts}]
    return named or [group for group in groups if not group.accounts]


def with_hours(arrival: Arrival, group: SkillGroup, reason: str) -> Route:
    is_closed = arrival.at is not None and not is_open(group, arrival.at)
    return Route(group.id, f"{reason} {CLOSED}" if is_closed else reason)


def _chosen(arrival: Arrival, fitting: Sequence[SkillGroup], reason: str) -> Route | None:
    if not fitting:
        return None
    routes = [with_hours(arrival, group, reason) for group in fitting]
    return next((each for each in routes if each.reason == reason), routes[0])


def _default(groups: Sequence[SkillGroup]) -> SkillGroup:
    default = next((group for group in groups if group.is_default), None) or next(iter(groups), None)
    if default is None:
        raise LookupError("there is no skill group: stellwerk group add NAME --default")
    return default


def _language(arrival: Arrival) -> str:
    return f"language:{arrival.language}"


def _holds_any(text: str, keywords: Sequence[str]) -> bool:
    folded = text.casefold()
    return any(keyword.casefold() in folded for keyword in keywords)
