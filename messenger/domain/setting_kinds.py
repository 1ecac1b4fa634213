"""The kinds of values that a setting can have. Each reads a person's text and the stored JSON, and writes both."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from messenger.domain.hours import parse_hours

_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
_NOTHING = frozenset({"", "none"})
_LONGEST_NAME = 100
_HIGHEST_LEVEL = 5
# BCP 47, as much of it as catalogues and routing rules use: de, zh, pt-BR.
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class Kind(Protocol):
    """`allowed` says in words which values there are. Reading raises ValueError for all others."""

    @property
    def allowed(self) -> str: ...
    def parse(self, text: str) -> Any:
        """The value that a person wrote."""

    def load(self, stored: Any) -> Any:
        """The value behind its JSON form; a value itself is taken too."""

    def store(self, value: Any) -> Any:
        """The JSON form."""

    def show(self, value: Any) -> str:
        """The text that `parse` reads back."""


@dataclass(frozen=True, slots=True)
class Flag:
    allowed: str = "true or false"

    def parse(self, text: str) -> bool:
        word = text.casefold()
        if word not in _YES | _NO:
            raise ValueError(text)
        return word in _YES

    def load(self, stored: Any) -> bool:
        return bool(_instance(stored, bool))

    def store(self, value: bool) -> bool:
        return value

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `least` to `most`, both included."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, text: str) -> int:
        return self.load(int(text))

    def load(self, stored: Any) -> int:
        number = int(_instance(stored, int))
        if isinstance(stored, bool) or not self.least <= number <= self.most:
            raise ValueError(stored)
        return number

    def store(self, value: int) -> int:
        return value

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Choice:
    of: type[StrEnum]

    @property
    def allowed(self) -> str:
        return " or ".join(self.of)

    def parse(self, text: str) -> StrEnum:
        return self.of(text.casefold())

    def load(self, stored: Any) -> StrEnum:
        return self.of(stored)

    def store(self, value: StrEnum) -> str:
        return value.value

    def show(self, value: StrEnum) -> str:
        return value.value


@dataclass(frozen=True, slots=True)
class Several:
    """Any of these words, also none of them."""

    of: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"none, or some of {', '.join(self.of)} with commas between"

    def parse(self, text: str) -> frozenset[str]:
        return self.load(() if text.casefold() in _NOTHING else _parts(text.casefold()))

    def load(self, stored: Any) -> frozenset[str]:
        words = frozenset(_words(stored))
        if not words <= frozenset(self.of):
            raise ValueError(stored)
        return words

    def store(self, value: frozenset[str]) -> list[str]:
        return [word for word in self.of if word in value]

    def show(self, value: frozenset[str]) -> str:
        return ", ".join(self.store(value)) or "none"


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text of at most `longest` characters; empty is allowed."""

    longest: int = _LONGEST_NAME

    @property
    def allowed(self) -> str:
        return f"one line of at most {self.longest} characters, or empty"

    def parse(self, text: str) -> str:
        return self.load(text)

    def load(self, stored: Any) -> str:
        line = str(_instance(stored, str))
        if len(line) > self.longest or not line.isprintable():
            raise ValueError(stored)
        return line

    def store(self, value: str) -> str:
        return value

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Language(Words):
    @property
    def allowed(self) -> str:
        return "a language tag such as de, en or zh"

    def load(self, stored: Any) -> str:
        if not _LANGUAGE.fullmatch(_instance(stored, str)):
            raise ValueError(stored)
        return str(stored)


@dataclass(frozen=True, slots=True)
class TimeZone(Words):
    @property
    def allowed(self) -> str:
        return "the name of a time zone such as Europe/Berlin"

    def load(self, stored: Any) -> str:
        try:
            ZoneInfo(_instance(stored, str))
        except (KeyError, OSError):  # the name of a folder of the data base raises OSError
            raise ValueError(stored) from None
        return str(stored)


@dataclass(frozen=True, slots=True)
class Hours(Words):
    """Opening hours in their canonical spelling. Reading raises BadHours, which names the parts that are wrong."""

    @property
    def allowed(self) -> str:
        return "opening hours such as Mon-Fri 8-12, 13-17; Sat 9-12; 2026-12-25 closed; or empty"

    def load(self, stored: Any) -> str:
        return parse_hours(_instance(stored, str), ZoneInfo("UTC")).text()


@dataclass(frozen=True, slots=True)
class Names:
    """Names in their order, with commas between; a name has no comma."""

    allowed: str = "names with commas between, or empty"

    def parse(self, text: str) -> tuple[str, ...]:
        return self.load(_parts(text))

    def load(self, stored: Any) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(_words(stored)))
        if not all(_is_name(name) for name in names):
            raise ValueError(stored)
        return names

    def store(self, value: tuple[str, ...]) -> list[str]:
        return list(value)

    def show(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)


@dataclass(frozen=True, slots=True)
class Levels:
    """Skills and the level that each is wanted at."""

    allowed: str = f"skills with levels from 0 to {_HIGHEST_LEVEL} such as claims=3, german=2; or empty"

    def parse(self, text: str) -> Mapping[str, int]:
        pairs = [part.partition("=") for part in _parts(text)]
        if len({skill.strip() for skill, _, _ in pairs}) != len(pairs):
            raise ValueError(text)
        return self.load({skill.strip(): int(level) for skill, _, level in pairs})

    def load(self, stored: Any) -> Mapping[str, int]:
        level = Number(0, _HIGHEST_LEVEL)
        wanted = {skill: level.load(value) for skill, value in dict(_instance(stored, Mapping)).items()}
        if not all(_is_name(skill) and "=" not in skill for skill in wanted):
            raise ValueError(stored)
        return wanted

    def store(self, value: Mapping[str, int]) -> dict[str, int]:
        return dict(value)

    def show(self, value: Mapping[str, int]) -> str:
        return ", ".join(f"{skill}={level}" for skill, level in value.items())


def _instance(stored: Any, type_: type) -> Any:
    if not isinstance(stored, type_):
        raise ValueError(stored)
    return stored


def _words(stored: Any) -> tuple[str, ...]:
    if isinstance(stored, str) or not isinstance(stored, Iterable):
        raise ValueError(stored)
    return tuple(_instance(word, str) for word in stored)


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_NAME
        and name == name.strip()
        and "," not in name
        and name.isprintable()
    )
