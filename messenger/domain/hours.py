"""Opening hours of a group: several intervals a weekday in the group's time zone, and dates that are different.

Local times become moments one date at a time, so that a day of a clock change has its 23 or 25 hours: a local time that
does not exist is shifted forward by the gap, of one that happens twice an opening takes the first and a closing the
second. Durations are never added to local times. An interval belongs to the date on which it begins; one that ends at
or before its beginning runs past midnight, also into a date that is closed.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY_MINUTES = 24 * 60
NINE = time(9)
_HORIZON_DAYS = 400

DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SPELLINGS = (
    "mon monday mo montag 周一 星期一 礼拜一",
    "tue tues tuesday di dienstag 周二 星期二 礼拜二",
    "wed weds wednesday mi mittwoch 周三 星期三 礼拜三",
    "thu thur thurs thursday do donnerstag 周四 星期四 礼拜四",
    "fri friday fr freitag 周五 星期五 礼拜五",
    "sat saturday sa samstag sonnabend 周六 星期六 礼拜六",
    "sun sunday so sonntag 周日 周天 星期日 星期天 礼拜日 礼拜天",
)
WEEKDAYS = {name: number for number, names in enumerate(_SPELLINGS) for name in names.split()}
_ALL_DAYS = frozenset({"daily", "täglich", "taeglich", "每天", "每日"})
_CLOSED = frozenset({"closed", "geschlossen", "zu", "休息", "关闭"})


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Minutes after local midnight. `end` is later than `start` by at most a day; beyond 1440 it is the next date."""

    start: int
    end: int

    def __str__(self) -> str:
        end = self.end if self.end <= DAY_MINUTES else self.end - DAY_MINUTES
        return f"{_clock(self.start)}-{_clock(end)}"


Week = tuple[tuple[Interval, ...], ...]
_EMPTY_WEEK: Week = ((),) * 7


@dataclass(frozen=True, slots=True)
class Problem:
    """`code`: unknown_day, unknown_time, no_time, no_length or overlap. `part` is what was written there."""

    code: str
    part: str


class BadHours(ValueError):
    """These opening hours cannot be read. `problems` names every part that is wrong, in the order written."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.code}: {problem.part}" for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningHours:
    """`week` begins on Monday, intervals are sorted. `exceptions` are dates with other intervals, or none (closed).

    With an empty week nothing ever opens, and the mornings are those of Monday to Friday at the default time.
    """

    zone: ZoneInfo
    week: Week = _EMPTY_WEEK
    exceptions: tuple[tuple[date, tuple[Interval, ...]], ...] = ()

    def intervals(self, day: date) -> tuple[Interval, ...]:
        """What is written for this date."""
        return dict(self.exceptions).get(day, self.week[day.weekday()])

    def openings(self, day: date) -> list[tuple[datetime, datetime]]:
        """The open times that begin on this local date, as UTC. One that a clock change swallows is left out."""
        moments = [
            (moment(day, interval.start, self.zone), moment(day, interval.end, self.zone, second=True))
            for interval in self.intervals(day)
        ]
        return [(start, end) for start, end in moments if start < end]

    def is_open(self, at: datetime) -> bool:
        today = local_date(at, self.zone)
        around = (today - timedelta(days=1), today)
        return any(start <= at < end for day in around for start, end in self.openings(day))

    def next_opening(self, at: datetime) -> datetime | None:
        """The first moment from `at` on at which it is open: `at` itself when it is. None when it never opens."""
        if self.is_open(at):
            return at
        days = _days(local_date(at, self.zone), _HORIZON_DAYS)
        return next((start for day in days for start, _ in self.openings(day) if start > at), None)

    def next_morning(self, at: datetime, *, default: time = NINE) -> datetime:
        """The morning of the first business day after the local date of `at`."""
        tomorrow = local_date(at, self.zone) + timedelta(days=1)
        business = (day for day in _days(tomorrow, _HORIZON_DAYS) if self._is_business_day(day))
        return self.morning(next(business, tomorrow), default=default)

    def morning(self, day: date, *, default: time = NINE) -> datetime:
        """The first opening on this date; `default` when there is none, or when it is open since midnight."""
        openings = self.openings(day)
        usual = moment(day, minutes_of(default), self.zone)
        midnight = moment(day, 0, self.zone)
        if not openings or (openings[0][0] == midnight and self.is_open(usual)):
            return usual
        return openings[0][0]

    def text(self) -> str:
        """The canonical spelling, which `parse_hours` reads back to the same hours."""
        weekly = [f"{_span(first, last)} {_times(self.week[first])}" for first, last in _runs(self.week)]
        dated = [f"{day.isoformat()} {_times(intervals) or 'closed'}" for day, intervals in self.exceptions]
        return "; ".join([*weekly, *dated])

    def _is_business_day(self, day: date) -> bool:
        if any(self.week):
            return bool(self.intervals(day))
        return bool(dict(self.exceptions).get(day, day.weekday() < 5))


def moment(day: date, minutes: int, zone: ZoneInfo, *, second: bool = False) -> datetime:
    """The UTC moment at which the clock of `zone` shows `minutes` after midnight of `day`; `second` chooses the later
    one of a time that happens twice. A time that does not exist is shifted forward by the gap."""
    days, rest = divmod(minutes, DAY_MINUTES)
    shown = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60))
    found = shown.replace(tzinfo=zone, fold=int(second)).astimezone(UTC)
    if second and found.astimezone(zone).replace(tzinfo=None) != shown:
        return shown.replace(tzinfo=zone).astimezone(UTC)  # in a gap only the earlier offset leads forward
    return found


def local_date(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()


def minutes_of(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def parse_hours(text: str, zone: ZoneInfo) -> OpeningHours:
    """Reads `Mon-Fri 08:00-12:00, 13:00-17:00; Sat 9-12; 2026-12-24 9-12; 2026-12-25 closed`, also with German or
    Chinese names. Entries for the same day add up. Raises BadHours with everything that is wrong."""
    week: list[list[Interval]] = [[] for _ in range(7)]
    dates: dict[date, list[Interval]] = {}
    problems: list[Problem] = []
    for entry in filter(None, (part.strip() for part in re.split(r"[;\n]", _unified(text)))):
        days, intervals, wrong = _entry(entry)
        problems += wrong
        for day in days:
            (dates.setdefault(day, []) if isinstance(day, date) else week[day]).extend(intervals)
    problems += [
        Problem("overlap", f"{DAY_NAMES[number]} {_times(day)}") for number, day in enumerate(week) if _overlap(day)
    ]
    problems += [Problem("overlap", f"{day} {_times(found)}") for day, found in dates.items() if _overlap(found)]
    if problems:
        raise BadHours(problems)
    exceptions = tuple((day, tuple(sorted(found))) for day, found in sorted(dates.items()))
    return OpeningHours(zone=zone, week=tuple(tuple(sorted(day)) for day in week), exceptions=exceptions)


_ENTRY = re.compile(r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})?(?P<days>[^0-9]*)(?P<times>.*)", re.DOTALL)
_RANGE = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?-([0-9]{1,2})(?::([0-9]{2}))?")
_TO = re.compile(r" ?(?:[-‐‑‒–—−~至到]|\b(?:bis|to)\b) ?")
_AND = re.compile(r"[,、&/+和]|\b(?:and|und)\b")
_NOISE = re.compile(r"\buhr\b|[点點]|\.(?=\s|-|,|$)")


def _unified(text: str) -> str:
    """Small letters, half-width signs, single spaces (so that no pattern goes over long white space), `-` for "to"."""
    lines = unicodedata.normalize("NFKC", text).casefold().splitlines()
    folded = "\n".join(" ".join(line.split()) for line in lines)
    return _TO.sub("-", _NOISE.sub("", folded))


Entry = tuple[list[int | date], list[Interval], list[Problem]]


def _entry(entry: str) -> Entry:
    found = _ENTRY.fullmatch(entry)
    assert found  # every part of the pattern may be empty
    names, times = found["days"].strip(" :,"), found["times"].strip(" :,")
    closed = next((word for word in _CLOSED if names.endswith(word)), "")
    names = names.removesuffix(closed).strip(" :,") if closed and not times else names
    days, problems = _dates(found["date"], names) if found["date"] else _weekdays(names, entry)
    intervals, wrong = _intervals(times)
    if not times and not closed:
        wrong = [Problem("no_time", entry)]
    return days, intervals, [*problems, *wrong]


def _dates(written: str, names: str) -> tuple[list[int | date], list[Problem]]:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return [], [Problem("unknown_day", written)]
    return [day], [Problem("unknown_day", names)] if names else []


def _weekdays(names: str, entry: str) -> tuple[list[int | date], list[Problem]]:
    if names in _ALL_DAYS:
        return list(range(7)), []
    days: list[int | date] = []
    problems = [] if names else [Problem("unknown_day", entry)]
    for part in filter(None, (part.strip() for part in _AND.split(names))):
        first, dash, last = part.partition("-")
        if first in WEEKDAYS and (last in WEEKDAYS or not dash):
            end = WEEKDAYS[last] if dash else WEEKDAYS[first]
            days += [(WEEKDAYS[first] + step) % 7 for step in range((end - WEEKDAYS[first]) % 7 + 1)]
        else:
            problems.append(Problem("unknown_day", part))
    return list(dict.fromkeys(days)), problems


def _intervals(times: str) -> tuple[list[Interval], list[Problem]]:
    intervals, problems = [], []
    for part in filter(None, (part.strip() for part in _AND.split(times))):
        found = _RANGE.fullmatch(part)
        if not found:
            problems.append(Problem("unknown_time", part))
            continue
        start_hour, start_minute, end_hour, end_minute = (int(number or 0) for number in found.groups())
        start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
        if max(start_minute, end_minute) > 59 or start >= DAY_MINUTES or end > DAY_MINUTES:
            problems.append(Problem("unknown_time", part))
        elif start == end:
            problems.append(Problem("no_length", part))
        else:
            intervals.append(Interval(start, end if end > start else end + DAY_MINUTES))
    return intervals, problems


def _overlap(intervals: Iterable[Interval]) -> bool:
    ordered = sorted(intervals)
    return any(earlier.end > later.start for earlier, later in pairwise(ordered))


def _runs(week: Week) -> Iterator[tuple[int, int]]:
    """First and last of neighbouring weekdays with the same intervals; closed days are left out."""
    first = 0
    for day in range(1, 8):
        if day == 7 or week[day] != week[first]:
            if week[first]:
                yield first, day - 1
            first = day


def _span(first: int, last: int) -> str:
    return DAY_NAMES[first] if first == last else f"{DAY_NAMES[first]}-{DAY_NAMES[last]}"


def _times(intervals: Iterable[Interval]) -> str:
    return ", ".join(str(interval) for interval in sorted(intervals))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _days(first: date, count: int) -> Iterator[date]:
    return (first + timedelta(days=step) for step in range(count))
