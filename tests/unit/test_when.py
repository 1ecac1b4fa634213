"""WHEN in three languages: which moment, what else wakes, which words are left. It is Thursday 26 November 2026, 11:00
in Berlin, unless a test says otherwise."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from messenger.domain.hours import OpeningHours, parse_hours
from messenger.domain.pauses import Cause
from messenger.domain.when import NotUnderstood, When, read_when
from messenger.domain.when_examples import EXAMPLES, Example

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LORD_HOWE, SHANGHAI = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 26, 11, tzinfo=BERLIN)
OFFICE = parse_hours("Mon-Fri 08:00-12:00, 13:00-17:00; Sat 10-12", BERLIN)


def understood(text: str, *, now: datetime = NOW, hours: OpeningHours | ZoneInfo = BERLIN) -> When:
    when = read_when(text, now=now, hours=hours)
    assert isinstance(when, When), when
    return when


def moment_of(text: str, *, now: datetime = NOW, hours: OpeningHours | ZoneInfo = BERLIN) -> str:
    until = understood(text, now=now, hours=hours).until
    zone = hours.zone if isinstance(hours, OpeningHours) else hours
    assert until and until.tzinfo is UTC
    return until.astimezone(zone).strftime("%Y-%m-%d %H:%M")


MOMENTS = {
    # durations
    "2h": "2026-11-26 13:00",
    "2 h": "2026-11-26 13:00",
    "90m": "2026-11-26 12:30",
    "90 min": "2026-11-26 12:30",
    "2h30": "2026-11-26 13:30",
    "2h30m": "2026-11-26 13:30",
    "1.5h": "2026-11-26 12:30",
    "in 2 hours": "2026-11-26 13:00",
    "for 2 hours and 15 minutes": "2026-11-26 13:15",
    "an hour": "2026-11-26 12:00",
    "half an hour": "2026-11-26 11:30",
    "2 hours from now": "2026-11-26 13:00",
    "1d 12h": "2026-11-27 23:00",
    "in 2 Stunden": "2026-11-26 13:00",
    "2 Std": "2026-11-26 13:00",
    "2,5 Stunden": "2026-11-26 13:30",
    "eine halbe Stunde": "2026-11-26 11:30",
    "in einer halben Stunde": "2026-11-26 11:30",
    "anderthalb Stunden": "2026-11-26 12:30",
    "für 20 Minuten": "2026-11-26 11:20",
    "2小时": "2026-11-26 13:00",
    "两小时后": "2026-11-26 13:00",
    "两个半小时": "2026-11-26 13:30",
    "半小时": "2026-11-26 11:30",
    "３０分钟后": "2026-11-26 11:30",
    "四十五分钟": "2026-11-26 11:45",
    "一刻钟": "2026-11-26 11:15",
    "eine Viertelstunde": "2026-11-26 11:15",
    "one and a half hours": "2026-11-26 12:30",
    # whole days
    "3d": "2026-11-29 09:00",
    "1w": "2026-12-03 09:00",
    "3 days 14:00": "2026-11-29 14:00",
    "3 Tage": "2026-11-29 09:00",
    "in einer Woche": "2026-12-03 09:00",
    "in 3 Tagen 14 Uhr": "2026-11-29 14:00",
    "3天": "2026-11-29 09:00",
    "两周后": "2026-12-10 09:00",
    # named days
    "tomorrow": "2026-11-27 09:00",
    "Tomorrow 9": "2026-11-27 09:00",
    "tomorrow 9:30": "2026-11-27 09:30",
    "tomorrow at 9": "2026-11-27 09:00",
    "tomorrow, 9am": "2026-11-27 09:00",
    "tomorrow 24:00": "2026-11-28 00:00",
    "today 16:00": "2026-11-26 16:00",
    "morgen 9": "2026-11-27 09:00",
    "morgen 9 Uhr": "2026-11-27 09:00",
    "morgen um 9 Uhr 30": "2026-11-27 09:30",
    "morgen 9.30": "2026-11-27 09:30",
    "morgen früh": "2026-11-27 09:00",
    "Morgen Nachmittag": "2026-11-27 14:00",
    "morgen halb neun": "2026-11-27 08:30",
    "heute 16 Uhr": "2026-11-26 16:00",
    "heute Abend": "2026-11-26 18:00",
    "übermorgen": "2026-11-28 09:00",
    "uebermorgen 10": "2026-11-28 10:00",
    "u\u0308bermorgen": "2026-11-28 09:00",
    "明天9点": "2026-11-27 09:00",
    "明天上午9点": "2026-11-27 09:00",
    "明天九点半": "2026-11-27 09:30",
    "明天9点15分": "2026-11-27 09:15",
    "明天下午三点一刻": "2026-11-27 15:15",
    "后天": "2026-11-28 09:00",
    "今天16:00": "2026-11-26 16:00",
    "今天１６：３０": "2026-11-26 16:30",
    "今天晚上8点": "2026-11-26 20:00",
    "晚上12点": "2026-11-27 00:00",
    "明早9点": "2026-11-27 09:00",
    "今晚八点": "2026-11-26 20:00",
    "下午三点二十": "2026-11-26 15:20",
    "二十三点": "2026-11-26 23:00",
    "tonight": "2026-11-26 18:00",
    "tonight at 8": "2026-11-26 20:00",
    "this afternoon": "2026-11-26 14:00",
    "tomorrow half past 8": "2026-11-27 08:30",
    "morgen Viertel vor neun": "2026-11-27 08:45",
    "morgen 14:30h": "2026-11-27 14:30",
    # weekdays
    "fri": "2026-11-27 09:00",
    "FRI 9:00": "2026-11-27 09:00",
    "Friday at noon": "2026-11-27 12:00",
    "on tuesday 5pm": "2026-12-01 17:00",
    "next monday 8": "2026-11-30 08:00",
    "thu": "2026-12-03 09:00",
    "thu 12:00": "2026-11-26 12:00",
    "thu 10:00": "2026-12-03 10:00",
    "next thu 12:00": "2026-12-03 12:00",
    "Fr 9 Uhr": "2026-11-27 09:00",
    "Fr. 9:00": "2026-11-27 09:00",
    "Freitag 9:00": "2026-11-27 09:00",
    "am Montag um 10": "2026-11-30 10:00",
    "nächsten Montag": "2026-11-30 09:00",
    "naechsten Montag 8": "2026-11-30 08:00",
    "friday next week 9": "2026-12-04 09:00",
    "Dienstag in einer Woche": "2026-12-08 09:00",
    "Do": "2026-12-03 09:00",
    "So 18:00": "2026-11-29 18:00",
    "nächste Woche": "2026-11-30 09:00",
    "周五 9:00": "2026-11-27 09:00",
    "周五下午3点": "2026-11-27 15:00",
    "星期三": "2026-12-02 09:00",
    "下周一": "2026-11-30 09:00",
    "下周五": "2026-12-04 09:00",
    "本周五": "2026-11-27 09:00",
    "下周": "2026-11-30 09:00",
    # dates
    "24.11. 14:00": "2027-11-24 14:00",
    "24.12. 14 Uhr": "2026-12-24 14:00",
    "24.12.": "2026-12-24 09:00",
    "24.12.26 14:00": "2026-12-24 14:00",
    "24.12.2026": "2026-12-24 09:00",
    "2026-12-24 14:00": "2026-12-24 14:00",
    "2026-12-24T14:00": "2026-12-24 14:00",
    "24 Nov 9:00": "2027-11-24 09:00",
    "24th of December": "2026-12-24 09:00",
    "Dec 24 9:00": "2026-12-24 09:00",
    "24. Dezember 2026 um 9 Uhr": "2026-12-24 09:00",
    "1. März": "2027-03-01 09:00",
    "12月24日下午两点": "2026-12-24 14:00",
    "2027年1月5日9点": "2027-01-05 09:00",
    # a time alone: the next time the clock shows it
    "9:00": "2026-11-27 09:00",
    "14:00": "2026-11-26 14:00",
    "11:00": "2026-11-27 11:00",
    "9am": "2026-11-27 09:00",
    "5 pm": "2026-11-26 17:00",
    "12am": "2026-11-27 00:00",
    "noon": "2026-11-26 12:00",
    "um 9 Uhr": "2026-11-27 09:00",
    "9.30 Uhr": "2026-11-27 09:30",
    "8 Uhr abends": "2026-11-26 20:00",
    "下午3点": "2026-11-26 15:00",
    "９：００": "2026-11-27 09:00",
    # a day behind the time, where nothing else follows
    "9:00 fri": "2026-11-27 09:00",
    "9am tomorrow": "2026-11-27 09:00",
    # what leads is ignored
    "until fri 9:00": "2026-11-27 09:00",
    "bis Freitag": "2026-11-27 09:00",
    "bis zum 24.12.": "2026-12-24 09:00",
    "直到周五": "2026-11-27 09:00",
    "到周五 9:00": "2026-11-27 09:00",
}


@pytest.mark.parametrize(("text", "expected"), MOMENTS.items())
def test_a_phrase_names_its_moment_and_nothing_is_left(text: str, expected: str) -> None:
    assert moment_of(text) == expected
    assert understood(text).rest == ""
    assert understood(text).wake_on == {Cause.TIME, Cause.CUSTOMER}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.id}-{example.language}")
def test_every_example_of_the_help_is_read_to_its_end(example: Example) -> None:
    assert understood(example.text).rest == ""
    assert understood(example.text.upper()) == understood(example.text)


def test_examples_of_one_form_mean_the_same_in_every_language() -> None:
    forms = {example.id for example in EXAMPLES} - {"time"}
    for form in forms:
        meant = {(when.until, when.wake_on) for e in EXAMPLES if e.id == form for when in [understood(e.text)]}
        assert len(meant) == 1, form


CAUSES = [
    ("reply", {"customer"}, False, ""),
    ("until reply", {"customer"}, False, ""),
    ("until reply waiting for the invoice", {"customer"}, False, "waiting for the invoice"),
    ("bis Antwort", {"customer"}, False, ""),
    ("bis zur Rückmeldung", {"customer"}, False, ""),
    ("回复", {"customer"}, False, ""),
    ("等客户回复", {"customer"}, False, ""),
    ("partner", {"customer", "partner"}, False, ""),
    ("Dokument", {"customer", "document"}, False, ""),
    ("文件或合作方", {"customer", "document", "partner"}, False, ""),
    ("api", {"customer", "api"}, False, ""),
    ("partner document", {"customer", "partner", "document"}, False, ""),
    ("fri partner", {"time", "customer", "partner"}, False, ""),
    ("partner fri", {"time", "customer", "partner"}, False, ""),
    ("partner or fri", {"time", "customer", "partner"}, False, ""),
    ("Freitag oder bis Antwort", {"time", "customer"}, False, ""),
    ("fri keep", {"time"}, True, ""),
    ("fri keep just thanks", {"time"}, True, "just thanks"),
    ("keep fri", {"time"}, True, ""),
    ("fri partner keep", {"time", "partner"}, True, ""),
    ("partner keep", {"partner"}, True, ""),
    ("fri reply keep", {"time"}, True, ""),
    # a cause belongs to the causes only directly behind the time or at the beginning
    ("fri partner has to check", {"time", "customer", "partner"}, False, "has to check"),
    ("partner has to check", {"customer", "partner"}, False, "has to check"),
    ("fri, partner has to check", {"time", "customer"}, False, "partner has to check"),
    ("fri: partner", {"time", "customer"}, False, "partner"),
    ("fri the partner has to check", {"time", "customer"}, False, "the partner has to check"),
    ("fri\npartner has to check", {"time", "customer"}, False, "partner has to check"),
    ("fri partner's turn", {"time", "customer"}, False, "partner's turn"),
    ("fri keeper called", {"time", "customer"}, False, "keeper called"),
    ("fri or later", {"time", "customer"}, False, "or later"),
]


@pytest.mark.parametrize(("text", "wake_on", "keep", "rest"), CAUSES)
def test_what_wakes_it_and_what_is_the_reason(text: str, wake_on: set[str], keep: bool, rest: str) -> None:
    when = understood(text)
    assert (when.wake_on, when.keep, when.rest) == (wake_on, keep, rest)
    assert (when.until is not None) is ("time" in wake_on)


@pytest.mark.parametrize(
    ("text", "moment", "rest"),
    [
        (
            "14:00 Hello Anna,\n\n  your parcel IS there.\n",
            "2026-11-26 14:00",
            "Hello Anna,\n\n  your parcel IS there.",
        ),
        ("14:00 Morgen rufen wir Sie an", "2026-11-26 14:00", "Morgen rufen wir Sie an"),
        ("14:00 Document attached", "2026-11-26 14:00", "Document attached"),
        ("14:00\nMonday", "2026-11-26 14:00", "Monday"),
        ("tomorrow\n9 boxes arrived", "2026-11-27 09:00", "9 boxes arrived"),
        ("tomorrow 2 hours are enough", "2026-11-27 09:00", "2 hours are enough"),
        ("tomorrow 9. Call them", "2026-11-27 09:00", "Call them"),
        ("2h ＡＢＣ", "2026-11-26 13:00", "ＡＢＣ"),
        ("三点三个人来", "2026-11-27 03:00", "三个人来"),
        ("fri 9-12 boxes", "2026-11-27 09:00", "9-12 boxes"),
        ("tomorrow ⒐ boxes", "2026-11-27 09:00", "⒐ boxes"),
        ("明天9点你好", "2026-11-27 09:00", "你好"),
        ("fri 9:00: İstanbul ﬁle", "2026-11-27 09:00", "İstanbul ﬁle"),
    ],
)
def test_the_text_to_send_later_is_kept_as_written(text: str, moment: str, rest: str) -> None:
    when = read_when(text, now=NOW, hours=BERLIN, with_causes=False)
    assert isinstance(when, When) and when.until
    assert when.until.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M") == moment
    assert when.rest == rest


@pytest.mark.parametrize(
    ("text", "code", "read"),
    [
        ("", "unknown", ""), (" \n", "unknown", ""), ("foo bar", "unknown", "foo bar"), ("until", "unknown", "until"),
        ("x" * 99, "unknown", "x" * 40), ("friend", "unknown", "friend"), ("friday's", "unknown", "friday's"),
        ("do not call", "unknown", "do not call"), ("so he can", "unknown", "so he can"),
        ("Fr Müller ruft an", "unknown", "Fr Müller ruft an"), ("9", "unknown", "9"), ("25:00", "unknown", "25:00"),
        ("9:60", "unknown", "9:60"), ("31.02.", "unknown", "31.02."), ("2026-13-01", "unknown", "2026-13-01"),
        ("99点", "unknown", "99点"), ("0000-01-01", "unknown", "0000-01-01"),
        ("today 9:00", "past", "today 9:00"), ("today", "past", "today"), ("24.11.2026", "past", "24.11.2026"),
        ("0h", "past", "0h"), ("本周一", "past", "本周一"), ("26.11. 9:00 late", "past", "26.11. 9:00"),
        ("1999-01-01", "past", "1999-01-01"), ("0001-01-01 00:00+14:00", "past", "0001-01-01 00:00"),
        ("400d", "too_far", "400d"), ("367d", "too_far", "367d"), ("999999999h", "too_far", "999999999h"),
        ("9999-12-31 23:59", "too_far", "9999-12-31 23:59"), ("29.02.", "too_far", "29.02."),
        ("1.12.2027", "too_far", "1.12.2027"),
        ("reply keep", "never", "reply keep"), ("keep", "unknown", "keep"),
    ],
)  # fmt: skip
def test_what_is_not_understood_says_why(text: str, code: str, read: str) -> None:
    assert read_when(text, now=NOW, hours=BERLIN) == NotUnderstood(code=code, read=read)


def test_without_a_time_of_day_it_is_the_morning_of_the_group() -> None:
    assert moment_of("tomorrow", hours=OFFICE) == "2026-11-27 08:00"
    assert moment_of("sat", hours=OFFICE) == "2026-11-28 10:00"
    assert moment_of("sun", hours=OFFICE) == "2026-11-29 09:00"
    closed = parse_hours("Mon-Fri 8-17; 2026-12-25 closed; 2026-12-24 10-12", BERLIN)
    assert moment_of("24.12.", hours=closed) == "2026-12-24 10:00"
    assert moment_of("25.12.", hours=closed) == "2026-12-25 09:00"
    early = read_when("tomorrow", now=NOW, hours=BERLIN, default=time(7))
    assert isinstance(early, When) and early.until == datetime(2026, 11, 27, 6, tzinfo=UTC)


CLOCKS = [
    # the night of the change, hours are exact and days are days
    (BERLIN, "2027-03-27T20:00+01:00", "8h", "2027-03-28T05:00+02:00"),
    (BERLIN, "2027-03-27T20:00+01:00", "tomorrow 2:30", "2027-03-28T03:30+02:00"),
    (BERLIN, "2027-03-27T20:00+01:00", "tomorrow 9", "2027-03-28T09:00+02:00"),
    (BERLIN, "2027-03-27T09:00+01:00", "1d 9:00", "2027-03-28T09:00+02:00"),
    (BERLIN, "2027-03-27T09:00+01:00", "24h", "2027-03-28T10:00+02:00"),
    (BERLIN, "2026-10-24T20:00+02:00", "8h", "2026-10-25T03:00+01:00"),
    (BERLIN, "2026-10-24T20:00+02:00", "tomorrow 2:30", "2026-10-25T02:30+02:00"),
    (BERLIN, "2026-10-25T02:10+02:00", "2:30", "2026-10-25T02:30+02:00"),
    (BERLIN, "2026-10-25T02:10+01:00", "2:30", "2026-10-26T02:30+01:00"),
    (BERLIN, "2026-10-24T09:00+02:00", "1w 9:00", "2026-10-31T09:00+01:00"),
    (NEW_YORK, "2027-03-13T20:00-05:00", "sun 2:30", "2027-03-14T03:30-04:00"),
    (NEW_YORK, "2026-10-31T20:00-04:00", "sun 1:30", "2026-11-01T01:30-04:00"),
    (LORD_HOWE, "2026-10-03T20:00+10:30", "tomorrow 2:15", "2026-10-04T02:45+11:00"),
    (LORD_HOWE, "2027-04-03T20:00+11:00", "tomorrow 1:45", "2027-04-04T01:45+11:00"),
    (SHANGHAI, "2027-03-27T20:00+08:00", "明天2点半", "2027-03-28T02:30+08:00"),
    # the group's day, not that of the server
    (SHANGHAI, "2026-11-26T17:00+00:00", "明天9点", "2026-11-28T09:00+08:00"),
    (NEW_YORK, "2026-11-27T03:00+00:00", "tomorrow 9", "2026-11-27T09:00-05:00"),
    # a weekday without a time is never today, not even early in the morning
    (BERLIN, "2026-11-26T05:00+01:00", "thu", "2026-12-03T09:00+01:00"),
    # year end and leap day
    (BERLIN, "2026-12-31T23:30+01:00", "tomorrow", "2027-01-01T09:00+01:00"),
    (BERLIN, "2026-12-31T23:30+01:00", "1h", "2027-01-01T00:30+01:00"),
    (BERLIN, "2026-12-31T23:30+01:00", "1.1.", "2027-01-01T09:00+01:00"),
    (BERLIN, "2028-02-28T12:00+01:00", "tomorrow", "2028-02-29T09:00+01:00"),
    (BERLIN, "2027-06-01T12:00+02:00", "29.02.", "2028-02-29T09:00+01:00"),
]


@pytest.mark.parametrize(("zone", "now", "text", "expected"), CLOCKS)
def test_clock_changes_and_turns_of_the_year(zone: ZoneInfo, now: str, text: str, expected: str) -> None:
    assert understood(text, now=datetime.fromisoformat(now), hours=zone).until == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("fri 9", "2026-11-27 09:00:00+01:00"), ("fri partner", "2026-11-27 09:00:00+01:00 partner"),
        ("fri keep", "2026-11-27 09:00:00+01:00 keep"), ("until reply", "reply"), ("文件", "document"),
        ("document partner keep", "partner document keep"),
    ],
)  # fmt: skip
def test_the_canonical_spelling(text: str, canonical: str) -> None:
    assert understood(text).text(BERLIN) == canonical
    assert understood(canonical) == understood(text)
