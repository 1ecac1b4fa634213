"""Reads what staff wrote as a command. The commands themselves are declared in `command_table`."""

import re
import unicodedata
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from messenger.domain.command_table import COMMANDS, StaffCommand
from messenger.domain.ids import ALPHABET

__all__ = ["COMMANDS", "Asked", "StaffCommand", "Unknown", "find", "parse"]

_LONGEST_WORD = 100
_BY_WORD = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}
_WORDS = [word for word in _BY_WORD if len(word) > 1]
_REFERENCE = re.compile(rf"K-[{ALPHABET}]{{4,12}}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A known command with the text behind it. `ref` is the conversation's number if one came first. `is_complete` is
    false where the text is missing."""

    command: StaffCommand
    text: str
    ref: str = ""

    @property
    def is_complete(self) -> bool:
        return bool(self.text) or not self.command.needs_text


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word we do not know; `guess` is a command one typo away, suggested and never executed."""

    word: str
    guess: str


def parse(text: str) -> Asked | Unknown:
    """Reads a message that begins with `!` or `！`. Never raises. A reference is split off only for commands that take
    one: in the text of an answer or a note it stays where it is."""
    word, arguments = _split(text.lstrip().lstrip("!！").lstrip())
    command = _BY_WORD.get(_unified(word))
    if command is None:
        return Unknown(word.casefold()[:40], _closest(_unified(word)))
    ref, rest = _reference(arguments) if command.takes_ref else ("", arguments)
    return Asked(command, rest, ref)


def find(word: str) -> StaffCommand | None:
    """The command that a person calls by this word, with or without its sign."""
    return _BY_WORD.get(_unified(word.strip().lstrip("!！")))


def _split(text: str) -> tuple[str, str]:
    """The first word and what follows it, at any white space: Chinese keyboards type a wide one."""
    word = next(iter(text[: 2 * _LONGEST_WORD].split(maxsplit=1)), "")
    return word, text[len(word) :].strip()


def _unified(word: str) -> str:
    """Small letters in one spelling: Macs send ü as two characters, Chinese keyboards wide letters."""
    return unicodedata.normalize("NFKC", word).casefold()


def _reference(arguments: str) -> tuple[str, str]:
    """`K-4F7Q` in any letters, and what follows it."""
    first, rest = _split(arguments)
    number = unicodedata.normalize("NFKC", first).upper()
    return (number, rest) if _REFERENCE.fullmatch(number) else ("", arguments)


def _closest(word: str) -> str:
    """A word of one letter is one typo away from every other letter: it is never a guess."""
    near = [known for known in _WORDS if Levenshtein.distance(word, known, score_cutoff=1) <= 1]
    return _BY_WORD[near[0]].name if near else ""
