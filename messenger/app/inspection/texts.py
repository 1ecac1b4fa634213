"""Text that acts in the program that opens it: formulas of a table that fetch or start something, objects in RTF."""

import re
from collections.abc import Iterator

from messenger.domain.attachment import Mark

# A cell may stand at the beginning of a line or behind a separator; programs on the way may have put a quote before it.
_FORMULA = re.compile(
    rb"""(?:^|[\n\r;,\t|])[ ]{0,8}["']{0,3}[ ]{0,8}[=@+-][^\n\r]{0,400}?"""
    rb"""(?:\|[^\n\r]{0,80}!|HYPERLINK\(|WEBSERVICE\(|IMPORT[A-Z]{2,9}\(|cmd\b|DDE\()""",
    re.IGNORECASE,
)
_TABLES = (".csv", ".txt", ".tsv")
_RTF: tuple[tuple[re.Pattern[bytes], Mark], ...] = (
    (re.compile(rb"\\obj(?:data|update|emb|link|autlink|ocx|html|class)\b"), "embedded"),
    (re.compile(rb"\\fldinst[^}]{0,200}\bDDE", re.IGNORECASE), "script"),
    (re.compile(rb"\\\*\\template\b|INCLUDEPICTURE|INCLUDETEXT", re.IGNORECASE), "remote"),
)


def text_marks(data: bytes, name: str) -> frozenset[Mark]:
    is_table = name.casefold().endswith(_TABLES)
    return frozenset({"formula"}) if is_table and _FORMULA.search(data) else frozenset()


def rtf_marks(data: bytes) -> frozenset[Mark]:
    return frozenset(_in_rtf(data))


def _in_rtf(data: bytes) -> Iterator[Mark]:
    yield from (mark for pattern, mark in _RTF if pattern.search(data))
