"""Which of several conversations a customer means by what they write."""

import re
import unicodedata

from messenger.domain.ids import ALPHABET

_LEADING = re.compile(rf"\W*(K)[-‐‑–—]([{ALPHABET}]{{4,12}})(?![A-Z0-9])")
_LONGEST = 60


def leading_number(text: str) -> str:
    """`K-4F7Q` at the beginning of a text, in any letters and signs around it; empty if there is none."""
    begin = unicodedata.normalize("NFKC", text[:_LONGEST]).upper()
    found = _LEADING.match(begin)
    return f"{found[1]}-{found[2]}" if found else ""
