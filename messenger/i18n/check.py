"""Do the languages agree with each other and with the code? Every finding names the id and what to change."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from messenger.domain.staff_commands import StaffCommand, find
from messenger.i18n import LANGUAGES, Texts, texts

# `!claim` is a command; any other exclamation mark is shouting (surface.md 5)
_SHOUT = re.compile(r"[!！](?![^\W\d_]|\{)")
# Letters only: the mark of a number (`！2`) or of a field (`!{word}`) names no command.
_COMMAND = re.compile(r"[!！]([^\W\d_]+)")
_ID = re.compile(r"^[SC]\d+[a-z]?(\.[a-z_]+)*$|^C\.[a-z]+$")
# One thing has one word. What the texts of a language do not say, and what they say instead.
_OTHER_WORDS = {
    "en": {"Not sent on:": "Not passed on:"},
    "de": dict.fromkeys(("der Kunde ", "Der Kunde ", "dem Kunden", "den Kunden"), "die Kundschaft"),
    "zh": {"讨论串": "消息列", "客服": "坐席"},
}


def findings(root: Path) -> list[str]:
    """`root` is the folder of the package `messenger`, whose code uses the texts."""
    catalogues = {language: texts(language) for language in LANGUAGES}
    known = frozenset().union(*(catalogue.entries for catalogue in catalogues.values()))
    exact, prefixes = _used(root)
    return sorted([
        *_twice(),
        *_missing(catalogues, known),
        *_different_fields(catalogues, known),
        *_shouting(catalogues),
        *_html_alone(catalogues),
        *_other_words(catalogues),
        *foreign_commands(catalogues),
        *(f"{id}: used in the code, but in no language" for id in exact if _ID.match(id) and not _is_known(id, known)),
        *(f"{id}: used nowhere in the code; remove it" for id in _base(known) if not _is_used(id, exact, prefixes)),
    ])  # fmt: skip


def twice(source: str) -> list[str]:
    """Ids that a catalogue has more than once: all but one would never be shown."""
    counted = Counter(re.findall(r'^msgid "(.+)"$', source, re.MULTILINE))
    return [id for id, count in counted.items() if count > 1]


def _twice() -> Iterator[str]:
    for language in LANGUAGES:
        source = files("messenger.i18n").joinpath(language, "messages.po").read_text(encoding="utf-8")
        yield from (f"{id}: more than once in {language}" for id in twice(source))


def _missing(catalogues: dict[str, Texts], known: frozenset[str]) -> Iterator[str]:
    for language, catalogue in catalogues.items():
        for id in known:
            if not all(catalogue.entries.get(id, ("",))):
                yield f"{id}: missing in {language}"


def _different_fields(catalogues: dict[str, Texts], known: frozenset[str]) -> Iterator[str]:
    for id in known:
        found = {language: catalogue.fields(id) for language, catalogue in catalogues.items()}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{language}: {sorted(fields)}" for language, fields in found.items())
            yield f"{id}: the languages have different fields ({told})"


def _shouting(catalogues: dict[str, Texts]) -> Iterator[str]:
    for language, catalogue in catalogues.items():
        for id, forms in catalogue.entries.items():
            if any(_SHOUT.search(form) for form in forms):
                yield f"{id}: exclamation mark in {language}"


def _other_words(catalogues: dict[str, Texts]) -> Iterator[str]:
    for language, catalogue in catalogues.items():
        for id, forms in catalogue.entries.items():
            said = " ".join(forms).replace("Kundin oder der Kunde", "")
            for word, better in _OTHER_WORDS[language].items():
                if word in said:
                    yield f"{id}: {language} says “{better}”, not “{word.strip()}”"


def foreign_commands(catalogues: dict[str, Texts]) -> Iterator[str]:
    """Who reads German is told German words, and every word that is told must work."""
    for language, catalogue in catalogues.items():
        for id, forms in catalogue.entries.items():
            for word in _COMMAND.findall(" ".join(forms)):
                command = find(word)
                if command is None:
                    yield f"{id}: there is no command !{word} ({language})"
                elif not _belongs(word, command, language):
                    yield f"{id}: {language} says !{command.word_in(language)}, not !{word}"


def _belongs(word: str, command: StaffCommand, language: str) -> bool:
    words = command.aliases_in(language)
    return word in words or (word == command.name and (language == "en" or not words))


def _html_alone(catalogues: dict[str, Texts]) -> Iterator[str]:
    """The plain text must be able to stand alone: an HTML form adds markup, never information."""
    for language, catalogue in catalogues.items():
        for id in catalogue.entries:
            base = id.removesuffix(".html")
            if base != id and not catalogue.fields(id) <= catalogue.fields(base):
                yield f"{id}: names fields in {language} that the plain text does not have"


def _is_known(id: str, known: frozenset[str]) -> bool:
    """A text, or the name of a family of texts."""
    return id in known or any(other.startswith(f"{id}.") for other in known)


def _base(ids: Iterable[str]) -> set[str]:
    return {id.removesuffix(".html") for id in ids}


def _is_used(id: str, exact: set[str], prefixes: set[str]) -> bool:
    return id in exact or any(id.startswith(prefix) for prefix in prefixes)


def _used(root: Path) -> tuple[set[str], set[str]]:
    """Ids written out in the code, and the beginnings of those that are put together (f"refused.{code}")."""
    exact: set[str] = set()
    prefixes: set[str] = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                prefixes |= set(_beginning(node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                exact.add(node.value)
    return exact, prefixes


def _beginning(node: ast.JoinedStr) -> Iterator[str]:
    first = node.values[0] if node.values else None
    if isinstance(first, ast.Constant) and re.fullmatch(r"[A-Za-z0-9_.]+\.", str(first.value)):
        yield str(first.value)
