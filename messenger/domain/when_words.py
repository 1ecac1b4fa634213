"""The words of `when.py` and `when_moments.py` in English, German and Chinese, and the patterns made of them.

Patterns are matched against folded text (small letters, half-width digits). A Latin word ends where no letter, digit,
accent or hyphenated word follows ("fri" is not "friend", "partner" not "partner's"); Chinese words need no end.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from messenger.domain.hours import WEEKDAYS

T = TypeVar("T")
END = r"(?![a-z0-9äöüß\u0300-\u036f_]|['’-][a-z])"


_WAYS = {way: str.maketrans(dict(zip("üäöß", way.split(), strict=True))) for way in (
    "ü ä ö ß", "ue ae oe ss", "u a o ss", "u\u0308 a\u0308 o\u0308 ß"
)}  # fmt: skip


def spelled(table: Mapping[str, T]) -> dict[str, T]:
    """Every word also without umlauts (`ue` or `u`) and with decomposed ones."""
    respelled = (word.translate(_WAYS[way]) for way in _WAYS for word in table)
    return dict(zip(respelled, [*table.values()] * len(_WAYS), strict=True))


def values(table: Mapping[T, str]) -> dict[str, T]:
    """Words by value, `_` for a space, turned round: word to value, in all spellings."""
    return spelled({word.replace("_", " "): value for value, words in table.items() for word in words.split()})


def any_of(words: Iterable[str]) -> str:
    """A pattern for one of these words, the longest first."""
    ordered = sorted(words, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(word) + (END if word[-1] < "\u2e80" else "") for word in ordered) + ")"


CAUSES = values({
    "customer": "reply answer response customer antwort rückmeldung kunde kundin kunden 客户回复 客户 回复 答复",
    "partner": "partner partners 合作方 合作伙伴",
    "document": "document documents doc docs file files dokument dokumente datei dateien unterlagen 文件 文档 资料",
    "api": "api 接口",
})  # fmt: skip
KEEP = values({"keep": "keep behalten 保持"})
LEADS = values({
    "until": "until till til for bis bis_zum bis_zur bis_zu bis_am on am um by 直到 等到 到 等",
})  # fmt: skip

DAYS = values({
    0: "today heute 今天 今日",
    1: "tomorrow tmrw tmr morgen 明天 明日",
    2: "day_after_tomorrow the_day_after_tomorrow übermorgen 后天 後天",
    3: "大后天 大後天",
})  # fmt: skip
MONTHS = values({
    1: "jan january januar", 2: "feb february februar", 3: "mar march mär märz mrz", 4: "apr april", 5: "may mai",
    6: "jun june juni", 7: "jul july juli", 8: "aug august", 9: "sep sept september", 10: "oct october okt oktober",
    11: "nov november", 12: "dec december dez dezember",
})  # fmt: skip
_DIGITS = "一二三四五六七八九"
_TENS = {"": 0, "十": 10} | {f"{digit}十": 10 * number for number, digit in enumerate(_DIGITS, 1) if number > 1}
CHINESE = {"两": 2} | {
    tens + ones: ten + one for tens, ten in _TENS.items() for one, ones in enumerate(["", *_DIGITS]) if tens or ones
}
NUMBERS = {word: float(number) for word, number in CHINESE.items()} | values({
    0.25: "quarter_of a_quarter_of",
    0.5: "half half_a half_an a_half halbe halben eine_halbe einer_halben 半 半个",
    1: "a an one ein eine einer einem einen 一个",
    1.5: "eineinhalb anderthalb one_and_a_half 一个半",
    2: "two zwei 两个 兩",
    2.5: "zweieinhalb 两个半",
    3: "three drei 三个", 4: "four vier 四个", 5: "five fünf 五个", 6: "six sechs 六个",
    7: "seven sieben 七个", 8: "eight acht 八个", 9: "nine neun 九个", 10: "ten zehn 十个",
    11: "eleven elf 十一个", 12: "twelve zwölf 十二个",
})  # fmt: skip
UNITS = values({
    1: "m min mins minute minutes minuten 分 分钟 分鐘",
    15: "viertelstunde 刻钟",
    60: "h hr hrs hour hours std stunde stunden 小时 个小时 小時 钟头 个钟头",
    24 * 60: "d day days tag tage tagen 天",
    7 * 24 * 60: "w wk week weeks woche wochen 周 星期 个星期 礼拜 个礼拜",
})  # fmt: skip
# "tonight", "this evening", 明早: the day is in the word before or with the part of the day.
IMPLIED_DAYS = {"to": 0, "this": 0, "今": 0, "明": 1}
# Parts of a day: how they change an hour, and the hour they mean alone (None: the morning of the group).
PERIODS = values({
    ("am", None): "morning früh vormittag 早上 早晨 早 上午 凌晨",
    ("noon", 12): "noon midday mittag mittags 中午",
    ("pm", 14): "afternoon nachmittag 下午",
    ("pm", 18): "evening abend 傍晚",
    ("night", 18): "night 晚上 晚",
})  # fmt: skip
SHIFTS = values({
    -30: "halb", -15: "quarter_to viertel_vor dreiviertel", 15: "quarter_past viertel_nach", 30: "half_past",
})  # fmt: skip
HALVES = values({"am": "am a.m. a.m früh morgens vormittags", "pm": "pm p.m. p.m nachmittags abends"})

# "do" and "so" are English words and "Fr Müller" is a person: two German letters are a weekday only where the text ends
# behind them, or a time or a cause follows.
_SHORT = ("mo", "di", "mi", "do", "fr", "sa", "so")
_FOLLOWS = rf"(?=\.?\s*(?:\Z|[0-9]|@|{any_of([*CAUSES, *KEEP, *PERIODS, 'um', 'at', 'or', 'oder'])}))"
_LONG_DAYS = any_of(word for word in WEEKDAYS if word not in _SHORT)
_NEXT = any_of(values({1: "next coming nächste nächster nächsten nächstem kommende kommenden kommender"}))
_THIS = any_of(values({0: "this diese dieser diesen diesem"}))
_ZH_WEEK = r"(?P<zh_week>下下个?|下个?|这个?|本)"
_YEAR = r"(?P<year>[0-9]{4})"
_MONTH = any_of(MONTHS)

LEAD = any_of(LEADS)
CAUSE = rf"(?P<cause>{any_of(CAUSES)})|{any_of(KEEP)}"
OR = rf"{any_of(['or', 'and', 'oder', 'und', '或者', '或', '和'])}|[+/&]"

ISO_MOMENT = (
    r"(?P<moment>[0-9]{4}-[0-9]{2}-[0-9]{2}[ t][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?:z|[+-][0-9]{2}:[0-9]{2}))" + END
)
_NUMBER = rf"(?P<number>[0-9]{{1,9}}(?:[.,][0-9]{{1,2}})?|{any_of(NUMBERS)})"
DURATION_LEAD = any_of(["in", "for", "für", "fuer"])
HOURS_MINUTES = rf"(?P<hours>[0-9]{{1,5}})h(?P<minutes>[0-5][0-9])(?:m|min)?{END}"
AMOUNT = rf"{_NUMBER}\s*(?:an?\s+)?(?P<unit>{any_of(UNITS)})"
DURATION_TAIL = any_of(["from now", "later", "später", "spaeter", "之后", "以后", "后", "後"])

DAY = rf"(?P<day>{any_of(DAYS)}|to(?=night{END})|this(?=\s(?:morning|afternoon|evening){END})|[今明](?=[早晚]))"
WEEKDAY = (
    rf"(?:(?:(?P<next>{_NEXT})|{_THIS})\s*)?(?:{_ZH_WEEK}\s*)?"
    rf"(?P<weekday>{_LONG_DAYS}|(?:{'|'.join(_SHORT)}){END}{_FOLLOWS})\.?"
)
WEEK_LATER = any_of(["in einer woche", "in a week"])
WEEK = any_of(["next week", "nächste woche", "nächster woche", "naechste woche", "nachste woche",
               "下周", "下星期", "下个星期", "下个周", "下礼拜"])  # fmt: skip
DATES = (
    rf"{_YEAR}(?P<sign>[-/.])(?P<month>[0-9]{{1,2}})(?P=sign)(?P<date>[0-9]{{1,2}})(?:t(?=[0-9])|{END})",
    rf"(?:{_YEAR}年)?(?P<month>[0-9]{{1,2}})月(?P<date>[0-9]{{1,2}})[日号號]",
    r"(?P<date>[0-9]{1,2})\.\s?(?P<month>[0-9]{1,2})"
    rf"(?:\.\s?{_YEAR}|\.(?P<short_year>[0-9]{{2}})|\.|(?=\s*(?:\Z|\s[0-9]|um\s|at\s)))(?![0-9:])",
    rf"(?P<date>[0-9]{{1,2}})(?:st|nd|rd|th|\.)?\s*(?:of\s)?(?P<name>{_MONTH})\.?(?:,?\s{_YEAR}{END})?",
    rf"(?P<name>{_MONTH})\.?\s?(?P<date>[0-9]{{1,2}})(?:st|nd|rd|th)?(?![0-9:.]*[0-9:])(?:,?\s{_YEAR}{END})?",
)

_NOON = any_of(word for word, (kind, _) in PERIODS.items() if kind == "noon")
_AT = r"(?:(?:at|um|ab|gegen)\s+|@\s*)?"
_PERIOD = rf"(?:(?P<period>{any_of(PERIODS)})\s*(?:(?:at|um)\s+)?)?"
_HALF = rf"(?:\s?(?P<half>{any_of(HALVES)}))"
_HOUR = r"(?P<hour>[0-9]{1,2})"
TIMES = (
    rf"{_AT}{_PERIOD}{_HOUR}:(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}}))?(?:\s?(?:uhr|h){END})?{_HALF}?{END}",
    rf"{_AT}{_PERIOD}{_HOUR}(?:\.(?P<minute>[0-9]{{2}}))?\s?uhr{END}(?:\s(?P<minute2>[0-5][0-9]){END})?{_HALF}?",
    rf"{_AT}{_HOUR}{_HALF}",
    rf"{_PERIOD}(?P<hour>[0-9]{{1,2}}|{any_of(CHINESE)})\s?(?:点钟|点|點|时)"
    rf"(?:(?P<thirty>半)|(?P<quarter>[一三])刻|(?P<minute>[0-9]{{1,2}}|{any_of(CHINESE)}(?=分|\W|\Z))分?)?",
    rf"{_AT}(?P<shift>{any_of(SHIFTS)})\s(?P<hour>[0-9]{{1,2}}|{any_of(NUMBERS)}){END}",
    rf"{_AT}(?P<period>{_NOON})(?!\s?[0-9])",
)  # fmt: skip
# Only directly behind a day: a bare number, and a part of the day alone.
TIMES_OF_A_DAY = (
    *TIMES,
    rf"{_AT}{_PERIOD}{_HOUR}(?:\.(?P<minute>[0-9]{{2}}))?(?![0-9:]){END}(?!\s?{any_of(UNITS)})(?!\.[0-9]|\s?-\s?[0-9])",
    rf"(?:in the\s|am\s)?(?P<period>{any_of(PERIODS)})",
)
