"""Opening hours: how they are written, and what the clocks of the world make of them."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from messenger.domain.hours import BadHours, Interval, OpeningHours, moment, parse_hours

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LORD_HOWE, SHANGHAI = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Shanghai")
OFFICE = "Mon-Fri 08:00-12:00, 13:00-17:00; Sat 09:00-12:00"
NIGHT = "Mon-Fri 22:00-06:00"
ALWAYS = "Mon-Sun 00:00-24:00"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("Mon-Fri 08:00-12:00, 13:00-17:00; Sat 9-12", OFFICE),
        ("Monday to Friday 8-12 and 13-17; Saturday 9-12; Sunday closed", OFFICE),
        ("Mo-Fr 8-12 Uhr und 13 bis 17 Uhr; Sa. 9-12; So geschlossen", OFFICE),
        ("Montag bis Freitag: 8:00–12:00, 13:00–17:00\nSonnabend 9-12 Uhr", OFFICE),
        ("周一至周五 08：00－12：00、13:00-17:00；周六 9点到12点；周日休息", OFFICE),
        ("星期一到星期五 8-12, 13-17; 星期六 9-12", OFFICE),
        ("mon-fri 13-17; MON-FRI 8-12; sat 9-12", OFFICE),
        ("Fri-Mon 22-6", "Mon 22:00-06:00; Fri-Sun 22:00-06:00"),
        ("Mo, Mi & Fr 9-12", "Mon 09:00-12:00; Wed 09:00-12:00; Fri 09:00-12:00"),
        ("周一、周三 9-12", "Mon 09:00-12:00; Wed 09:00-12:00"),
        ("daily 0-24", ALWAYS),
        ("täglich 18:00-0:00", "Mon-Sun 18:00-24:00"),
        ("每天 9-12", "Mon-Sun 09:00-12:00"),
        ("Mon 9-12; 2026-12-25 closed; 2026-12-24 9-12", "Mon 09:00-12:00; 2026-12-24 09:00-12:00; 2026-12-25 closed"),
        ("", ""),
        (" ; ", ""),
    ],
)
def test_hours_are_read_in_three_languages_and_have_one_spelling(written: str, canonical: str) -> None:
    hours = parse_hours(written, BERLIN)
    assert hours.text() == canonical
    assert parse_hours(canonical, BERLIN) == hours


@pytest.mark.parametrize(
    ("written", "problems"),
    [
        ("Foo 9-12", [("unknown_day", "foo")]),
        ("Mon-Foo 9-12", [("unknown_day", "mon-foo")]),
        ("9-12", [("unknown_day", "9-12")]),
        ("Mon", [("no_time", "mon")]),
        ("Mon 9", [("unknown_time", "9")]),
        ("Mon 25-26", [("unknown_time", "25-26")]),
        ("Mon 24-25", [("unknown_time", "24-25")]),
        ("Mon 9:60-12", [("unknown_time", "9:60-12")]),
        ("Mon 9-9", [("no_length", "9-9")]),
        ("Mon 9-12, 11-13", [("overlap", "Mon 09:00-12:00, 11:00-13:00")]),
        ("2026-02-30 closed", [("unknown_day", "2026-02-30")]),
        ("2026-12-24 foo 9-12", [("unknown_day", "foo")]),
        ("Foo 9-12; Tue 9-9; Wed x", [("unknown_day", "foo"), ("no_length", "9-9"), ("unknown_day", "wed x"),
                                      ("no_time", "wed x")]),
        ("Mon closed 9-12", [("unknown_day", "mon closed")]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_named_at_once(written: str, problems: list[tuple[str, str]]) -> None:
    with pytest.raises(BadHours) as caught:
        parse_hours(written, BERLIN)
    assert [(problem.code, problem.part) for problem in caught.value.problems] == problems


OPEN = [
    # the lunch gap, the edges of an interval, days without hours
    (BERLIN, OFFICE, "2026-11-26T08:00+01:00", True),
    (BERLIN, OFFICE, "2026-11-26T07:59+01:00", False),
    (BERLIN, OFFICE, "2026-11-26T12:00+01:00", False),
    (BERLIN, OFFICE, "2026-11-26T12:59+01:00", False),
    (BERLIN, OFFICE, "2026-11-26T13:00+01:00", True),
    (BERLIN, OFFICE, "2026-11-28T11:59+01:00", True),
    (BERLIN, OFFICE, "2026-11-29T10:00+01:00", False),
    # across midnight: Friday's night reaches into Saturday, Sunday's does not exist
    (BERLIN, NIGHT, "2026-11-28T05:59+01:00", True),
    (BERLIN, NIGHT, "2026-11-28T06:00+01:00", False),
    (BERLIN, NIGHT, "2026-11-28T22:30+01:00", False),
    (BERLIN, NIGHT, "2026-11-30T05:00+01:00", False),
    # year end, and the night before a closed date
    (BERLIN, NIGHT + "; 2027-01-01 closed", "2027-01-01T03:00+01:00", True),
    (BERLIN, NIGHT + "; 2027-01-01 closed", "2027-01-01T23:00+01:00", False),
    (BERLIN, OFFICE + "; 2026-12-24 9-12; 2026-12-25 closed", "2026-12-24T08:30+01:00", False),
    (BERLIN, OFFICE + "; 2026-12-24 9-12; 2026-12-25 closed", "2026-12-24T11:30+01:00", True),
    (BERLIN, OFFICE + "; 2026-12-24 9-12; 2026-12-25 closed", "2026-12-25T11:30+01:00", False),
    # leap day: a Tuesday in 2028
    (BERLIN, "Tue 9-12", "2028-02-29T09:00+01:00", True),
    # clocks go back in Berlin at 03:00: 02:30 comes twice; the closing is the second one
    (BERLIN, "Sun 02:00-02:30", "2026-10-25T02:15+02:00", True),
    (BERLIN, "Sun 02:00-02:30", "2026-10-25T02:15+01:00", True),
    (BERLIN, "Sun 02:00-02:30", "2026-10-25T02:30+01:00", False),
    # clocks go forward in Berlin at 02:00: 02:30 is 03:30
    (BERLIN, "Sun 02:30-04:00", "2027-03-28T03:15+02:00", False),
    (BERLIN, "Sun 02:30-04:00", "2027-03-28T03:30+02:00", True),
    (BERLIN, "Sun 02:00-03:00", "2027-03-28T03:00+02:00", False),
    # a holiday on the day of the change
    (BERLIN, ALWAYS + "; 2027-03-28 closed", "2027-03-28T12:00+02:00", False),
    # no clock changes in Shanghai
    (SHANGHAI, "周一至周五 9-18", "2026-11-26T01:00+00:00", True),
    (SHANGHAI, "周一至周五 9-18", "2026-11-26T10:00+00:00", False),
    (BERLIN, "", "2026-11-26T12:00+01:00", False),
]


@pytest.mark.parametrize(("zone", "hours", "at", "is_open"), OPEN)
def test_open_or_closed(zone: ZoneInfo, hours: str, at: str, is_open: bool) -> None:
    assert parse_hours(hours, zone).is_open(datetime.fromisoformat(at)) is is_open


@pytest.mark.parametrize(
    ("zone", "day", "length_h"),
    [
        (BERLIN, date(2027, 3, 28), 23), (BERLIN, date(2026, 10, 25), 25), (BERLIN, date(2026, 11, 26), 24),
        (NEW_YORK, date(2027, 3, 14), 23), (NEW_YORK, date(2026, 11, 1), 25),
        (LORD_HOWE, date(2026, 10, 4), 23.5), (LORD_HOWE, date(2027, 4, 4), 24.5),
        (SHANGHAI, date(2027, 3, 28), 24), (BERLIN, date(2028, 2, 29), 24), (BERLIN, date(2026, 12, 31), 24),
    ],
)  # fmt: skip
def test_a_whole_day_has_the_hours_of_its_clock(zone: ZoneInfo, day: date, length_h: float) -> None:
    [(start, end)] = parse_hours(ALWAYS, zone).openings(day)
    assert end - start == timedelta(hours=length_h)


NEXT = [
    (BERLIN, OFFICE, "2026-11-26T07:00+01:00", "2026-11-26T08:00+01:00"),
    (BERLIN, OFFICE, "2026-11-26T12:30+01:00", "2026-11-26T13:00+01:00"),
    (BERLIN, OFFICE, "2026-11-26T17:00+01:00", "2026-11-27T08:00+01:00"),
    (BERLIN, OFFICE, "2026-11-28T12:00+01:00", "2026-11-30T08:00+01:00"),
    (BERLIN, OFFICE, "2026-11-26T10:10+01:00", "2026-11-26T10:10+01:00"),
    (BERLIN, OFFICE + "; 2027-01-01 closed; 2027-01-02 closed", "2026-12-31T18:00+01:00", "2027-01-04T08:00+01:00"),
    (BERLIN, NIGHT, "2026-11-28T06:00+01:00", "2026-11-30T22:00+01:00"),
    (BERLIN, "Sun 02:30-04:00", "2027-03-27T12:00+01:00", "2027-03-28T03:30+02:00"),
    (BERLIN, "Sun 02:30-04:00", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00"),
    (BERLIN, "Sun 02:00-03:00", "2027-03-27T12:00+01:00", "2027-04-04T02:00+02:00"),
    (NEW_YORK, "Sun 02:30-04:00", "2027-03-13T12:00-05:00", "2027-03-14T03:30-04:00"),
    (NEW_YORK, "Sun 01:30-04:00", "2026-10-31T12:00-04:00", "2026-11-01T01:30-04:00"),
    (LORD_HOWE, "Sun 02:10-04:00", "2026-10-03T12:00+10:30", "2026-10-04T02:40+11:00"),
    (LORD_HOWE, "Sun 01:45-04:00", "2027-04-03T12:00+11:00", "2027-04-04T01:45+11:00"),
    (SHANGHAI, "周一至周五 9-18", "2026-11-27T18:00+08:00", "2026-11-30T09:00+08:00"),
    (BERLIN, "Mon 9-12", "2026-11-30T12:00+01:00", "2026-12-07T09:00+01:00"),
    (BERLIN, "Mon 9-9:30", "2026-11-30T09:45+01:00", "2026-12-07T09:00+01:00"),
    (BERLIN, "2026-12-27 9-12", "2026-11-30T12:00+01:00", "2026-12-27T09:00+01:00"),
]


@pytest.mark.parametrize(("zone", "hours", "at", "opening"), NEXT)
def test_next_opening(zone: ZoneInfo, hours: str, at: str, opening: str) -> None:
    assert parse_hours(hours, zone).next_opening(datetime.fromisoformat(at)) == datetime.fromisoformat(opening)


@pytest.mark.parametrize("hours", ["", "2020-01-01 9-12", "Mon-Sun closed"])
def test_an_empty_calendar_never_opens(hours: str) -> None:
    assert parse_hours(hours, BERLIN).next_opening(datetime(2026, 11, 26, tzinfo=UTC)) is None


MORNING = [
    (BERLIN, OFFICE, "2026-11-26T07:00+01:00", "2026-11-27T08:00+01:00"),
    (BERLIN, OFFICE, "2026-11-27T10:00+01:00", "2026-11-28T09:00+01:00"),
    (BERLIN, OFFICE, "2026-11-28T10:00+01:00", "2026-11-30T08:00+01:00"),
    (BERLIN, OFFICE, "2026-11-26T23:30+00:00", "2026-11-28T09:00+01:00"),
    (BERLIN, OFFICE + "; 2026-12-25 closed; 2026-12-26 closed", "2026-12-24T10:00+01:00", "2026-12-28T08:00+01:00"),
    (BERLIN, "", "2026-11-26T10:00+01:00", "2026-11-27T09:00+01:00"),
    (BERLIN, "", "2026-11-27T10:00+01:00", "2026-11-30T09:00+01:00"),
    (BERLIN, "2026-11-30 closed", "2026-11-27T10:00+01:00", "2026-12-01T09:00+01:00"),
    (BERLIN, "", "2026-12-31T10:00+01:00", "2027-01-01T09:00+01:00"),
    (BERLIN, "", "2028-02-28T10:00+01:00", "2028-02-29T09:00+01:00"),
    (BERLIN, ALWAYS, "2026-11-27T10:00+01:00", "2026-11-28T09:00+01:00"),
    (BERLIN, NIGHT, "2026-11-26T10:00+01:00", "2026-11-27T22:00+01:00"),
    (BERLIN, "Mon-Sun 2:30-12", "2027-03-27T10:00+01:00", "2027-03-28T03:30+02:00"),
    (NEW_YORK, "", "2026-11-26T23:00-05:00", "2026-11-27T09:00-05:00"),
    (SHANGHAI, "", "2026-11-26T18:00+00:00", "2026-11-30T09:00+08:00"),
]


@pytest.mark.parametrize(("zone", "hours", "at", "morning"), MORNING)
def test_next_morning_is_the_first_opening_of_a_later_business_day(
    zone: ZoneInfo, hours: str, at: str, morning: str
) -> None:
    assert parse_hours(hours, zone).next_morning(datetime.fromisoformat(at)) == datetime.fromisoformat(morning)


def test_the_morning_of_a_group_without_hours_can_be_another_one() -> None:
    at = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert OpeningHours(zone=BERLIN).next_morning(at, default=time(7, 30)) == datetime(2026, 11, 27, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "minutes", "first", "second"),
    [
        (BERLIN, date(2027, 3, 28), 150, "2027-03-28T03:30+02:00", "2027-03-28T03:30+02:00"),
        (BERLIN, date(2026, 10, 25), 150, "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
        (LORD_HOWE, date(2026, 10, 4), 135, "2026-10-04T02:45+11:00", "2026-10-04T02:45+11:00"),
        (LORD_HOWE, date(2027, 4, 4), 105, "2027-04-04T01:45+11:00", "2027-04-04T01:45+10:30"),
        (ZoneInfo("Pacific/Apia"), date(2011, 12, 30), 540, "2011-12-31T09:00+14:00", "2011-12-31T09:00+14:00"),
        (BERLIN, date(2026, 12, 31), 1500, "2027-01-01T01:00+01:00", "2027-01-01T01:00+01:00"),
    ],
)
def test_local_times_that_do_not_exist_or_come_twice(
    zone: ZoneInfo, day: date, minutes: int, first: str, second: str
) -> None:
    assert moment(day, minutes, zone) == datetime.fromisoformat(first)
    assert moment(day, minutes, zone, second=True) == datetime.fromisoformat(second)


def test_an_interval_is_shown_with_the_time_at_which_it_ends() -> None:
    assert [str(Interval(1320, 1800)), str(Interval(0, 1440))] == ["22:00-06:00", "00:00-24:00"]
