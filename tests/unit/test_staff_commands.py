"""The parser of staff commands: words of three languages, typos suggested and never executed, nothing that raises."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messenger.app import help
from messenger.app.orders import UNWIRED
from messenger.app.staff_side import APPROVE_KEY, CLAIM_KEYS, PAUSE_KEY, RESOLVE_KEY
from messenger.domain.people import Role
from messenger.domain.replies import Said, is_command
from messenger.domain.staff_commands import COMMANDS, Asked, StaffCommand, Unknown, find, parse
from messenger.domain.when import When, read_when
from messenger.i18n import LANGUAGES, texts
from messenger.reference.commands import page

NAMES = [command.name for command in COMMANDS]
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
     ("!ntoe", ""), ("!not", "note"), ("!udno", ""), ("!frobnicate", ""), ("!", ""), ("!x", ""), ("!rr", ""),
     ("!secret", "")],
)  # fmt: skip
def test_a_typo_is_suggested_and_never_executed(typo: str, guess: str) -> None:
    unknown = parse(typo)
    assert isinstance(unknown, Unknown)
    assert unknown.guess == guess


@pytest.mark.parametrize("name", [command.name for command in COMMANDS if command.needs_text])
def test_a_command_without_its_text_is_incomplete(name: str) -> None:
    asked = parse(f"!{name}  ")
    assert isinstance(asked, Asked) and not asked.is_complete
    assert asked.command.usage.startswith(f"!{name} ")


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


@pytest.mark.parametrize(
    "spelling", ["!u\u0308bernehmen", "!ÜBERNEHMEN", "!uebernehmen", "！ｃｌａｉｍ", "! Take", "！接手", "!claim\u200a"]
)
def test_a_word_is_known_however_a_keyboard_spells_it(spelling: str) -> None:
    asked = parse(spelling)
    assert isinstance(asked, Asked) and asked.command.name == "claim"


@pytest.mark.parametrize(
    ("text", "ref", "rest"),
    [
        ("!claim K-4F7Q", "K-4F7Q", ""),
        ("！接手\u3000k-4f7q", "K-4F7Q", ""),
        ("!claim Ｋ-４Ｆ７Ｑ", "K-4F7Q", ""),
        ("!pause K-4F7Q fri 9:00 waiting", "K-4F7Q", "fri 9:00 waiting"),
        ("!transfer K-4F7QX\nPrescriptions", "K-4F7QX", "Prescriptions"),
        ("!resolve like K-4F7Q", "", "like K-4F7Q"),
        ("!resolve K-4F7", "", "K-4F7"),
        ("!resolve K-4F7Q: done", "", "K-4F7Q: done"),
        ("!resolve K-0O1I", "", "K-0O1I"),
        ("!note K-4F7Q is the same matter", "", "K-4F7Q is the same matter"),
        ("!r K-4F7Q is your number.", "", "K-4F7Q is your number."),
        ("!later 14:00 K-4F7Q", "", "14:00 K-4F7Q"),
    ],
)
def test_a_leading_reference_is_split_off_but_never_out_of_a_text(text: str, ref: str, rest: str) -> None:
    asked = parse(text)
    assert isinstance(asked, Asked) and (asked.ref, asked.text) == (ref, rest)


def test_a_reference_alone_is_not_the_text_that_a_command_needs() -> None:
    asked = parse("!assign K-4F7Q")
    assert isinstance(asked, Asked) and not asked.is_complete


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_an_example_is_a_complete_use_of_its_command_in_words_of_its_language(
    command: StaffCommand, language: str
) -> None:
    example = command.example_in(language)
    asked = parse(example)
    assert isinstance(asked, Asked) and asked.command is command and asked.is_complete
    word = example[1:].split()[0]
    assert word in (command.aliases_in(language) or [command.name]) or word == command.name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["pause", "later"])
def test_an_example_with_a_time_is_one_that_is_understood(name: str, language: str) -> None:
    asked = parse(next(command for command in COMMANDS if command.name == name).example_in(language))
    assert isinstance(asked, Asked)
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)  # a Tuesday, 10:00 in Berlin
    when = read_when(asked.text, now=now, hours=ZoneInfo("Europe/Berlin"), with_causes=name == "pause")
    assert isinstance(when, When) and when.rest
    day, hour = (27, 8) if name == "pause" else (24, 13)
    assert when.until == datetime(2026, 11, day, hour, tzinfo=UTC)


def test_only_a_command_for_a_conversation_takes_its_reference() -> None:
    for command in COMMANDS:
        assert not (command.takes_ref and command.where == "thread"), command.name
        assert "[REF]" not in command.usage or command.takes_ref


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_has_its_line_and_its_labels_in_the_help(language: str) -> None:
    for command in COMMANDS:
        assert command.usage_in(language) in help.of_all(texts(language), COMMANDS).plain
        one = help.of_one(texts(language), command).plain
        assert one.startswith(command.usage_in(language)) and f"!{command.name}" in one


@pytest.mark.parametrize(
    ("role", "listed", "left_out"),
    [
        (Role.CLERK, ["note", "who", "tag", "help"], ["claim", "r", "pause", "transfer", "start", "next"]),
        (Role.AGENT, ["claim", "r", "pause", "transfer", "note"], []),
        (Role.LEAD, ["claim", "transfer", "resolve"], []),
    ],
)
def test_the_short_help_lists_what_the_role_of_the_reader_may_use(
    role: Role, listed: list[str], left_out: list[str]
) -> None:
    said = " ".join(help.answer(texts("en"), COMMANDS, "", role).plain.splitlines()[-2:]).split()
    assert {f"!{name}" for name in listed} <= set(said)
    assert not {f"!{name}" for name in left_out} & set(said)


def test_the_short_help_begins_with_the_reactions_and_what_is_used_most() -> None:
    lines = help.answer(texts("en"), COMMANDS, "", Role.AGENT).plain.splitlines()
    assert all(each in lines[1] for each in ("take 👀", "done ✅", "pause 💤", "📤"))
    assert lines[2] == "Most used: !claim !r !note !pause !transfer !resolve"
    assert not set(lines[2].split()[2:]) & set(lines[3].split())


def test_who_may_not_act_on_a_card_is_not_told_how() -> None:
    said = help.answer(texts("en"), COMMANDS, "", Role.CLERK).plain
    assert "💤" not in said and "Most used: !note" in said.splitlines()


def test_the_reactions_that_the_help_names_are_those_that_act_on_a_card() -> None:
    named = texts("en").plain("S33.reactions")
    assert all(key in named for key in (RESOLVE_KEY, PAUSE_KEY, APPROVE_KEY)) and CLAIM_KEYS & set(named)


@pytest.mark.parametrize("topic", ["pause", "!pause", "！暂停", "ZURUECKSTELLEN", "pause please"])
def test_help_for_a_command_takes_any_of_its_words(topic: str) -> None:
    said = help.answer(texts("de"), COMMANDS, topic, Role.CLERK).plain
    assert said.startswith("!pausieren [WHEN]") and "!pausieren Fr 9 Uhr" in said and "!暂停" in said


@pytest.mark.parametrize(("topic", "words"), [("claimm", "!claim?"), ("frobnicate", "!frobnicate"), ("!", "!help all")])
def test_help_for_a_word_that_is_no_command_says_so(topic: str, words: str) -> None:
    said = help.answer(texts("en"), COMMANDS, topic, Role.AGENT).plain
    assert said.startswith("There is no command") and words in said


def test_help_never_names_what_is_not_offered() -> None:
    offered = [command for command in COMMANDS if command.name != "pause"]
    for topic in ("", "all", "paus", "snooze"):
        assert "!pause" not in help.answer(texts("en"), offered, topic, Role.LEAD).plain


def test_every_word_of_a_command_finds_it() -> None:
    assert all(find(word) is find(name) is not None for word, name in WORDS)
    assert find("frobnicate") is find("") is None


def test_no_command_is_declared_in_vain_but_these() -> None:
    """This list only ever gets shorter: a command is declared together with what carries it out."""
    assert {
        "assign", "transfer", "pause", "resume", "resolve", "reopen", "later", "why", "room",
        "invite", "remove", "start", "status",
    } >= UNWIRED  # fmt: skip


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/reference/commands.md"
    assert written.read_text("utf-8") == page(), "run: python -m messenger.reference"
