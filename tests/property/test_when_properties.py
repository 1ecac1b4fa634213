"""Properties of WHEN, for any text and any moment: it never raises, it never loses words, and what it understood is
understood again."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from messenger.domain import when_words as w
from messenger.domain.hours import WEEKDAYS, BadHours, OpeningHours, moment, parse_hours
from messenger.domain.pauses import Cause
from messenger.domain.when import FARTHEST, NotUnderstood, When, read_when
from messenger.domain.when_examples import EXAMPLES

ZONES = [
    ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "UTC")
]
WEEKS = ["", "Mon-Fri 08:00-12:00, 13:00-17:00; Sat 9-12", "Mon-Sun 0-24", "Fri-Mon 22-6", "2027-03-28 2:30-4"]
WORDS = [*w.CAUSES, *w.KEEP, *w.LEADS, *w.DAYS, *w.MONTHS, *w.NUMBERS, *w.UNITS, *w.PERIODS, *w.HALVES, *WEEKDAYS,
         *(sample.text for sample in EXAMPLES), "next", "nächsten", "下", "点", "uhr", ":", ".", "-", ",", "T", "Z",
         "+14:00", "0", "24", "31", "9999", "00:00", "or", "\n", "\x00", "\ud800", "İ", "ﬁ", "９", "²",
         "٣"]  # fmt: skip
SPOKEN = st.lists(st.one_of(st.sampled_from(WORDS), st.integers(0, 10**10).map(str), st.text(max_size=3)), max_size=9)
ANY = st.one_of(
    st.text(), SPOKEN.map(" ".join), SPOKEN.map("".join), st.sampled_from(EXAMPLES).map(lambda sample: sample.text)
)
PARTS_OF_HOURS = [*WEEKDAYS, *WEEKS, "9-12", "-", ";", ",", "bis", "closed", "休息", " " * 5_000, "\n" * 5_000]
NOWS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from([*ZONES]))  # noqa: DTZ001
HOURS = st.builds(parse_hours, st.sampled_from(WEEKS), st.sampled_from(ZONES))

# Patterns are compiled at their first use; no example shall have to wait for that.
for sample in EXAMPLES:
    read_when(sample.text, now=datetime(2026, 11, 26, tzinfo=UTC), hours=OpeningHours(zone=ZONES[0]))


@given(ANY, NOWS, HOURS, st.booleans())
@example("9999-12-31 23:59:59-12:00", datetime(2026, 11, 26, tzinfo=UTC), OpeningHours(zone=ZONES[1]), True)
@example("9" * 10_000, datetime(2026, 11, 26, tzinfo=UTC), OpeningHours(zone=ZONES[0]), True)
@example("2h " * 3_000, datetime(2026, 11, 26, tzinfo=UTC), OpeningHours(zone=ZONES[0]), True)
@example("reply or " * 1_000, datetime(2026, 11, 26, tzinfo=UTC), OpeningHours(zone=ZONES[0]), True)
@example("fri" + " " * 10_000 + "9", datetime(2026, 11, 26, tzinfo=UTC), OpeningHours(zone=ZONES[0]), True)
def test_any_text_has_an_answer_that_keeps_its_promises(
    text: str, now: datetime, hours: OpeningHours, with_causes: bool
) -> None:
    answer = read_when(text, now=now, hours=hours, with_causes=with_causes)
    if isinstance(answer, NotUnderstood):
        assert answer.code in ("unknown", "past", "too_far", "never")
        return
    assert answer.until is None or now < answer.until <= now + FARTHEST
    assert (Cause.TIME in answer.wake_on) is (answer.until is not None)
    assert (Cause.CUSTOMER in answer.wake_on) is not answer.keep
    assert answer.wake_on
    assert text.rstrip().endswith(answer.rest)


@given(ANY, NOWS, HOURS)
def test_the_canonical_spelling_is_understood_as_the_same(text: str, now: datetime, hours: OpeningHours) -> None:
    when = read_when(text, now=now, hours=hours)
    if isinstance(when, When):
        again = read_when(when.text(hours.zone), now=now, hours=hours)
        assert isinstance(again, When)
        assert (again.until, again.wake_on, again.keep, again.rest) == (when.until, when.wake_on, when.keep, "")


@given(st.sampled_from(EXAMPLES), NOWS, HOURS, st.text(alphabet="xyz ÄÖ你好\n"))
def test_a_reason_behind_a_phrase_changes_nothing_but_the_rest(
    sample: object, now: datetime, hours: OpeningHours, reason: str
) -> None:
    text = getattr(sample, "text", "")
    alone, explained = (read_when(words, now=now, hours=hours) for words in (text, f"{text}\n{reason}"))
    if isinstance(alone, When):
        assert isinstance(explained, When)
        assert (explained.until, explained.wake_on) == (alone.until, alone.wake_on)
        assert explained.rest == reason.strip()


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 2879), st.sampled_from(ZONES))
def test_a_local_time_is_shown_by_its_clock_or_lies_in_a_gap(day: date, minutes: int, zone: ZoneInfo) -> None:
    first, second = moment(day, minutes, zone), moment(day, minutes, zone, second=True)
    wanted = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
    shown = [found.astimezone(zone).replace(tzinfo=None) for found in (first, second)]
    assert first <= second
    assert shown == [wanted] * 2 or (first == second and wanted < shown[0] <= wanted + timedelta(hours=1))


@given(st.one_of(st.text(), st.lists(st.sampled_from(PARTS_OF_HOURS)).map("".join)))
def test_any_hours_are_read_or_say_what_is_wrong(text: str) -> None:
    try:
        hours = parse_hours(text, ZONES[0])
    except BadHours as bad:
        problems: tuple[object, ...] = bad.problems
    else:
        problems = ("none",)
        assert parse_hours(hours.text(), ZONES[0]) == hours
    assert problems


@given(HOURS, NOWS)
def test_an_opening_is_the_first_open_moment(hours: OpeningHours, now: datetime) -> None:
    opening = hours.next_opening(now)
    if opening is not None:
        assert opening >= now and hours.is_open(opening)
        assert hours.is_open(now) or not hours.is_open(opening - timedelta(microseconds=1))
    assert hours.next_morning(now) > now
