"""The parser of staff commands: words of three languages, typos suggested and never executed, nothing that raises."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messenger.domain.replies import Said, is_command
from messenger.domain.staff_commands import COMMANDS, Asked, Unknown, parse
from messenger.i18n import LANGUAGES, texts

WORDS = [(word, command.name) for command in COMMANDS for word in (command.name, *command.aliases)]


@pytest.mark.parametrize(("word", "name"), WORDS)
@pytest.mark.parametrize("sign", ["!", "！", " !", "! "])
def test_every_word_of_a_command_is_known_in_small_and_capital_letters(word: str, name: str, sign: str) -> None:
    for spelling in (word, word.upper()):
        asked = parse(f"{sign}{spelling} some words")
        assert isinstance(asked, Asked) and asked.command.name == name, spelling


def test_no_word_belongs_to_two_commands() -> None:
    assert len({word for word, _ in WORDS}) == len(WORDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!r  Hello ", "Hello"),
        ("!r\nFirst line\nsecond line", "First line\nsecond line"),
        ("!r one\ntwo", "one\ntwo"),
        ("!note", ""),
        ("！备注 内部", "内部"),
        ("!r\u3000full-width space", "full-width space"),
        ("!r\ttab", "tab"),
    ],
)
def test_the_text_behind_the_word_is_kept_as_written(text: str, expected: str) -> None:
    asked = parse(text)
    assert isinstance(asked, Asked) and asked.text == expected


@pytest.mark.parametrize(
    ("typo", "guess"),
    [("!clam", "claim"), ("!claimm", "claim"), ("!relese", "release"), ("!hlp", "help"), ("!ubernehmen", "claim"),
     ("!nto", "note"), ("!udno", ""), ("!frobnicate", ""), ("!", "r"), ("!secret", "")],
)  # fmt: skip
def test_a_typo_is_suggested_and_never_executed(typo: str, guess: str) -> None:
    unknown = parse(typo)
    assert isinstance(unknown, Unknown)
    assert unknown.guess in (guess, "") if typo in ("!", "!nto") else unknown.guess == guess


@pytest.mark.parametrize("name", [command.name for command in COMMANDS if command.needs_text])
def test_a_command_without_its_text_is_incomplete(name: str) -> None:
    asked = parse(f"!{name}  ")
    assert isinstance(asked, Asked) and not asked.is_complete
    assert asked.command.usage == f"!{name} TEXT"


@given(st.text())
@example("!" * 10_000)
@example("!\x00\ud800")
@example("！ \u202e!claim")
@example("!" + "a" * 100_000)
def test_garbage_never_raises_and_a_shown_word_stays_short(text: str) -> None:
    for given_text in (text, f"!{text}", f"！{text}"):
        asked = parse(given_text)
        if isinstance(asked, Unknown):
            assert len(asked.word) <= 40
        else:
            assert asked.command in COMMANDS


@given(st.text())
def test_what_the_parser_obeys_the_rule_has_called_a_command(text: str) -> None:
    """Nothing is executed that could also have been an answer."""
    said = Said(type="m.text", text=f"!{text}")
    assert is_command(said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_has_its_line_in_the_help(language: str) -> None:
    for command in COMMANDS:
        assert texts(language).plain(f"help.{command.name}")
