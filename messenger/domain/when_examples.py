"""What may be written as WHEN, as data: help and documentation are made of it, and the tests read every line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """`id` names a form and is the same in every language; `language` is en, de or zh."""

    id: str
    text: str
    language: str


_FORMS = {
    "minutes": ("90m", "90 Minuten", "90分钟"),
    "half_an_hour": ("half an hour", "halbe Stunde", "半小时"),
    "hours": ("2h", "2 Std", "2小时"),
    "hours_and_minutes": ("2h30", "2 Stunden 30 Minuten", "两个半小时"),
    "from_now": ("in 2 hours", "in 2 Stunden", "两小时后"),
    "days": ("3d", "3 Tage", "3天"),
    "weeks": ("1w", "in einer Woche", "1周"),
    "tomorrow": ("tomorrow", "morgen", "明天"),
    "tomorrow_at": ("tomorrow 9", "morgen 9 Uhr", "明天9点"),
    "day_after_tomorrow": ("day after tomorrow", "übermorgen", "后天"),
    "today_at": ("today 16:00", "heute 16 Uhr", "今天16:00"),
    "time": ("9:00", "9 Uhr", "下午3点"),
    "noon": ("noon", "mittags", "中午"),
    "weekday": ("fri", "Freitag", "周五"),
    "weekday_at": ("fri 9:00", "Fr 9 Uhr", "周五 9:00"),
    "next_weekday": ("next monday 8", "nächsten Montag 8 Uhr", "下周一8点"),
    "next_week": ("next week", "nächste Woche", "下周"),
    "date": ("24 Dec", "24.12.", "12月24日"),
    "date_at": ("24 Dec 14:00", "24.12. 14:00", "12月24日14点"),
    "iso_date": ("2027-01-04 14:00", "4.1.2027 14 Uhr", "2027年1月4日14点"),
    "reply": ("until reply", "bis Antwort", "直到回复"),
    "partner": ("partner", "Partner", "合作方"),
    "document": ("document", "Dokument", "文件"),
    "time_or_cause": ("fri partner", "Fr Partner", "周五 合作方"),
    "keep": ("fri 9:00 keep", "Fr 9 Uhr behalten", "周五 9:00 保持"),
}

EXAMPLES = tuple(
    Example(form, text, language)
    for form, texts in _FORMS.items()
    for language, text in zip(("en", "de", "zh"), texts, strict=True)
)
