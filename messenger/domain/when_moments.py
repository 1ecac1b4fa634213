"""The moments in `when.py`: durations, days, dates and times of day, from folded text and the place where they begin.

Every reader returns what it found with the place behind it, or None. A local time becomes a moment by
`hours.moment`: shifted forward where it does not exist, the first one where it comes twice.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

from messenger.domain import when_words as w
from messenger.domain.hours import DAY_MINUTES, WEEKDAYS, OpeningHours, local_date, moment

FARTHEST = timedelta(days=366)
Found = tuple[datetime, int]
MayEnd = Callable[[int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    now: datetime
    hours: OpeningHours
    default: time

    @property
    def today(self) -> date:
        return local_date(self.now, self.hours.zone)


@dataclass(frozen=True, slots=True)
class _Day:
    """`is_weekday`: when its moment is over the one a week later is meant."""

    day: date
    is_weekday: bool = False


@dataclass(frozen=True, slots=True)
class _Clock:
    """A time of day; `minutes` is None for the morning of the group."""

    minutes: int | None
    seconds: int = 0


class TooFar(Exception):
    """A moment so far away that it is not worked out."""


def _skip(head: str, at: int) -> int:
    return at + len(head[at:]) - len(head[at:].lstrip())


def match(pattern: str, head: str, at: int) -> re.Match[str] | None:
    return _compiled(pattern).match(head, _skip(head, at))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """At the first use: compiling them all takes a twelfth of the program's start."""
    return re.compile(pattern)


def _first(patterns: Iterable[str], head: str, at: int) -> list[re.Match[str]]:
    return [found for pattern in patterns if (found := match(pattern, head, at))]


def leads(head: str, at: int) -> int:
    for _ in range(2):
        found = match(w.LEAD, head, at)
        at = found.end() if found else at
    return at


def joined(head: str, at: int) -> int:
    """Behind an `or`, with the `until` that may follow it."""
    found = match(w.OR, head, at)
    return leads(head, found.end() if found else at)


def read_moment(head: str, at: int, context: Context, *, may_end: MayEnd) -> Found | None:
    """The moment and where its phrase ends. `may_end(at)`: whether nothing but causes follows. Raises TooFar."""
    return (
        _iso_moment(head, at)
        or _duration(head, at, context)
        or _time_first(head, at, context, may_end=may_end)
        or _day_first(head, at, context)
    )


def _iso_moment(head: str, at: int) -> Found | None:
    found = match(w.ISO_MOMENT, head, at)
    try:
        return (datetime.fromisoformat(found["moment"].upper()).astimezone(UTC), found.end()) if found else None
    except (ValueError, OverflowError):
        return None


def _duration(head: str, at: int, context: Context) -> Found | None:
    """Hours and minutes; with days before them ("1d 12h") a day is 24 hours. Whole days are read by `_days_ahead`."""
    lead = match(w.DURATION_LEAD, head, at)
    total, at, is_exact = _amounts(head, lead.end() if lead else at)
    if not is_exact:
        return None
    tail = match(w.DURATION_TAIL, head, at)
    return context.now.replace(microsecond=0) + _minutes(total), tail.end() if tail else at


def _amounts(head: str, at: int) -> tuple[float, int, bool]:
    """Minutes altogether, the end, and whether hours or minutes were among them."""
    short = match(w.HOURS_MINUTES, head, at)
    if short:
        return int(short["hours"]) * 60 + int(short["minutes"]), short.end(), True
    total, is_exact, start = 0.0, False, at
    while found := match(w.AMOUNT, head, start):
        unit = w.UNITS[found["unit"]]
        total, is_exact, at = total + _number(found["number"]) * unit, is_exact or unit < DAY_MINUTES, found.end()
        start = joined(head, at)
    return total, at, is_exact


def _number(word: str) -> float:
    return w.NUMBERS[word] if word in w.NUMBERS else float(word.replace(",", "."))


def _minutes(total: float) -> timedelta:
    if total > 2 * FARTHEST / timedelta(minutes=1):
        raise TooFar
    return timedelta(minutes=total)


def _time_first(head: str, at: int, context: Context, *, may_end: MayEnd) -> Found | None:
    clock, end = _clock(head, at, w.TIMES)
    if clock is None:
        return None
    day = _day(head, leads(head, end), context)
    if day and may_end(day[1]):
        return _at(day[0], clock, context), day[1]
    today = _at(_Day(context.today), clock, context)
    return (today if today > context.now else _at(_Day(context.today + timedelta(days=1)), clock, context)), end


def _day_first(head: str, at: int, context: Context) -> Found | None:
    found = _day(head, at, context)
    if not found:
        return None
    day, end = found
    comma = end + 1 if head[end : end + 1] in (",", "，") else end
    clock, clock_end = _clock(head, comma, w.TIMES_OF_A_DAY)
    if clock is None:
        return _at(day, None, context), end
    return _at(day, clock, context), clock_end


def _at(day: _Day, clock: _Clock | None, context: Context) -> datetime:
    """The first moment of that local time; of a weekday that is today and over, the one in a week."""
    if abs(day.day - context.today) > FARTHEST + timedelta(days=2):
        return context.now + (2 * FARTHEST if day.day > context.today else -FARTHEST)
    if clock is None or clock.minutes is None:
        found = context.hours.morning(day.day, default=context.default)
    else:
        found = moment(day.day, clock.minutes, context.hours.zone) + timedelta(seconds=clock.seconds)
    is_over = day.is_weekday and day.day == context.today and (clock is None or found <= context.now)
    return _at(_Day(day.day + timedelta(days=7)), clock, context) if is_over else found


def _day(head: str, at: int, context: Context) -> tuple[_Day, int] | None:
    if found := match(w.DAY, head, at):
        return _Day(context.today + timedelta(days=_offset(found["day"]))), found.end()
    if found := match(w.WEEKDAY, head, at):
        return _week_of(head, found, context.today)
    if found := match(w.WEEK, head, at):
        return _Day(_monday(context.today) + timedelta(days=7)), found.end()
    return _days_ahead(head, at, context) or _date(head, at, context.today)


def _offset(word: str) -> int:
    return w.DAYS[word] if word in w.DAYS else w.IMPLIED_DAYS[word]


def _week_of(head: str, found: re.Match[str], today: date) -> tuple[_Day, int]:
    """As said, but "Friday next week" and "Freitag in einer Woche" are later than the next such day."""
    weekday = _weekday(found, today)
    if week := match(w.WEEK, head, found.end()):
        return _Day(_monday(today) + timedelta(days=7 + WEEKDAYS[found["weekday"]])), week.end()
    if later := match(w.WEEK_LATER, head, found.end()):
        return _Day(weekday.day + timedelta(days=7)), later.end()
    return weekday, found.end()


def _weekday(found: re.Match[str], today: date) -> _Day:
    number = WEEKDAYS[found["weekday"]]
    if week := found["zh_week"]:
        return _Day(_monday(today) + timedelta(days=7 * week.count("下") + number))
    ahead = (number - today.weekday()) % 7
    if found["next"] and not ahead:
        ahead = 7
    return _Day(today + timedelta(days=ahead), is_weekday=True)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _days_ahead(head: str, at: int, context: Context) -> tuple[_Day, int] | None:
    lead = match(w.DURATION_LEAD, head, at)
    start = lead.end() if lead else at
    total, end, is_exact = _amounts(head, start)
    if end == start or is_exact:
        return None
    tail = match(w.DURATION_TAIL, head, end)
    return _Day(context.today + timedelta(days=_minutes(total).days)), tail.end() if tail else end


def _date(head: str, at: int, today: date) -> tuple[_Day, int] | None:
    for found in _first(w.DATES, head, at):
        parts = found.groupdict()
        month = w.MONTHS[parts["name"]] if parts.get("name") else int(parts["month"])
        year = parts.get("year") or (f"20{parts['short_year']}" if parts.get("short_year") else None)
        day = _real_date(int(year) if year else None, month, int(parts["date"]), today)
        if day:
            return _Day(day), found.end()
    return None


def _real_date(year: int | None, month: int, number: int, today: date) -> date | None:
    """Without a year the next such date; 29 February may be years ahead."""
    years = [year] if year is not None else range(today.year, min(today.year + 9, 9999))
    for candidate in years:
        try:
            day = date(candidate, month, number)
        except ValueError:
            continue
        if year is not None or day >= today:
            return day
    return None


def _clock(head: str, at: int, patterns: Iterable[str]) -> tuple[_Clock | None, int]:
    for found in _first(patterns, head, at):
        clock = _clock_of({key: value for key, value in found.groupdict().items() if value})
        if clock:
            return clock, found.end()
    return None, at


def _clock_of(parts: dict[str, str]) -> _Clock | None:
    kind, alone = w.PERIODS.get(parts.get("period", ""), ("", None))
    if "hour" not in parts:
        return _Clock(alone * 60 if alone else None)
    hour = _hour(int(_number(parts["hour"])), w.HALVES.get(parts.get("half", ""), kind))
    if "shift" in parts:
        return _shifted(hour, w.SHIFTS[parts["shift"]])
    minute = 30 if "thirty" in parts else {"": 0, "一": 15, "三": 45}[parts.get("quarter", "")]
    written = parts.get("minute") or parts.get("minute2")
    return _valid(hour, int(_number(written)) if written else minute, int(parts.get("second", 0)))


def _shifted(hour: int, minutes: int) -> _Clock | None:
    """As in "half past 8" and "Viertel vor 9"."""
    return _valid(*divmod(hour * 60 + minutes, 60))


def _hour(hour: int, kind: str) -> int:
    """With a part of the day: 3 pm is 15, 12 am is 0, 12 at night (晚上12点) the midnight to come."""
    if kind in ("pm", "night") and 0 < hour < 12:
        return hour + 12
    if kind == "noon" and 0 < hour < 6:
        return hour + 12
    if hour == 12 and kind in ("am", "night"):
        return 0 if kind == "am" else 24
    return hour


def _valid(hour: int, minute: int, seconds: int = 0) -> _Clock | None:
    is_time = 0 <= hour < 24 and minute < 60 and seconds < 60
    return _Clock(hour * 60 + minute, seconds) if is_time or (hour, minute, seconds) == (24, 0, 0) else None
