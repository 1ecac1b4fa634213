"""The page of the staff's commands."""

from messenger.app.help import place_of
from messenger.app.orders import UNWIRED
from messenger.domain.staff_commands import COMMANDS, StaffCommand
from messenger.i18n import LANGUAGES, texts

_HEAD = """<!-- Made by `python -m messenger.reference`; a test compares. Do not edit. -->
# Commands for the team

A command begins with `!` or `！` and is written where the conversation is: in its thread, or in its room. Many can be
written elsewhere too, in the main timeline of a group's room or in the direct chat with the desk; then the reference of
the conversation comes first, as in `!claim K-4F7Q`. Small and capital letters are the same, and German words may be
written without umlauts. Nothing that begins with `!` is sent to a customer; a word that is not known is refused with
the one that was probably meant.

In the usage lines `[…]` may be left out, and `|` stands between alternatives. `!help` says in Element what is here,
in your language; `!help pause` explains one command.
"""
_NOT_YET = """
This version does not carry out all of them: `!help all` lists those it does, and the others are refused.
"""
_COLUMNS = """
| command | meaning | who may | where | examples |
|---|---|---|---|---|
"""
_WORDS = """
## Further words

| command | English | Deutsch | 中文 |
|---|---|---|---|
"""


def page() -> str:
    """The whole page, Markdown."""
    head = _HEAD + (_NOT_YET if UNWIRED else "")
    return head + _COLUMNS + "\n".join(map(_row, COMMANDS)) + "\n" + _WORDS + "\n".join(map(_words, COMMANDS)) + "\n"


def _row(command: StaffCommand) -> str:
    english = texts("en")
    examples = "<br>".join(map(_code, dict.fromkeys(command.example_in(language) for language in LANGUAGES)))
    cells = (
        _code(command.usage),
        english.plain(f"help.{command.name}"),
        english.plain(f"who.may.{command.who}"),
        place_of(english, command),
        examples,
    )
    return f"| {' | '.join(cells)} |"


def _words(command: StaffCommand) -> str:
    languages = (", ".join(map(_code, command.aliases_in(language))) for language in LANGUAGES)
    return f"| {' | '.join([_code('!' + command.name), *languages])} |"


def _code(text: str) -> str:
    """In a table a bar would end the cell, also inside of code."""
    return f"`{text}`".replace("|", "\\|")
