"""The commands that staff writes, declared once: the parser, the help and the hints all come from `COMMANDS`."""

from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Levenshtein

Who = Literal["agent", "owner", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffCommand:
    """`name` is also the catalogue id of its help line (`help.claim`). `arguments` is shown in the usage line."""

    name: str
    aliases: tuple[str, ...]
    who: Who
    arguments: str = ""
    needs_text: bool = False

    @property
    def usage(self) -> str:
        return f"!{self.name} {self.arguments}".rstrip()


COMMANDS = (
    StaffCommand(name="claim", aliases=("take", "übernehmen", "uebernehmen", "接手"), who="agent"),
    StaffCommand(name="release", aliases=("zurückgeben", "zurueckgeben", "退回"), who="owner"),
    StaffCommand(name="note", aliases=("notiz", "备注"), who="all", arguments="TEXT", needs_text=True),
    StaffCommand(
        name="r", aliases=("reply", "send", "antwort", "回复"), who="owner", arguments="TEXT", needs_text=True
    ),
    StaffCommand(name="undo", aliases=("rückgängig", "rueckgaengig", "撤销"), who="owner"),
    StaffCommand(name="who", aliases=("wer", "谁"), who="all"),
    StaffCommand(name="help", aliases=("?", "hilfe", "帮助"), who="all"),
)

_LONGEST_WORD = 100
_BY_WORD = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A known command with the text behind it. `is_complete` is false where the text is missing."""

    command: StaffCommand
    text: str

    @property
    def is_complete(self) -> bool:
        return bool(self.text) or not self.command.needs_text


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word we do not know; `guess` is a command one typo away, suggested and never executed."""

    word: str
    guess: str


def parse(text: str) -> Asked | Unknown:
    """Reads a message that begins with `!` or `！`. Never raises."""
    word, arguments = _split(text.lstrip().lstrip("!！").lstrip())
    command = _BY_WORD.get(word)
    return Asked(command, arguments) if command else Unknown(word[:40], _closest(word))


def _split(text: str) -> tuple[str, str]:
    """The first word and what follows it, at any white space: Chinese keyboards type a wide one."""
    word = next(iter(text[: 2 * _LONGEST_WORD].split(maxsplit=1)), "")
    return word.casefold(), text[len(word) :].strip()


def _closest(word: str) -> str:
    near = [known for known in _BY_WORD if Levenshtein.distance(word, known, score_cutoff=1) <= 1]
    return _BY_WORD[near[0]].name if near else ""
