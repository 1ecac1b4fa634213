"""The catalogue: three languages that agree, and fields that cannot be misused."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import messenger
from messenger.i18n import LANGUAGES, MissingText, texts
from messenger.i18n.check import findings, foreign_commands, twice

CODE = Path(messenger.__file__).parent


def test_all_languages_agree_with_each_other_and_with_the_code() -> None:
    assert findings(CODE) == []


@pytest.mark.parametrize(
    ("language", "text", "finding"),
    [
        ("de", "Weiter: !fortsetzen. Mehr: !hilfe alle", None),
        ("de", "Weiter: !resume", "x: de says !fortsetzen, not !resume"),
        ("de", "Status: !status", None),
        ("zh", "继续：！恢复，!{word}", None),
        ("zh", "继续：!fortsetzen", "x: zh says !恢复, not !fortsetzen"),
        ("en", "Go on: !resume or !wake", None),
        ("en", "Go on: !resumme", "x: there is no command !resumme (en)"),
    ],
)
def test_a_text_names_commands_in_its_own_language_and_only_such_that_exist(
    language: str, text: str, finding: str | None
) -> None:
    catalogues = {language: replace(texts(language), entries={"x": (text,)})}
    assert list(foreign_commands(catalogues)) == ([finding] if finding else [])


def test_an_id_that_stands_twice_is_found() -> None:
    assert twice('msgid ""\nmsgid "a"\nmsgstr "x"\nmsgid "b"\nmsgid "a"\n') == ["a"]


@pytest.mark.parametrize(
    ("asked", "given"), [("de", "de"), ("zh-CN", "zh"), ("zh_Hant_TW", "zh"), ("EN-gb", "en"), ("fr", "en"), ("", "en")]
)
def test_an_unknown_language_falls_back(asked: str, given: str) -> None:
    assert texts(asked).language == given
    assert texts("fr", default="de").language == "de"


def test_a_field_is_not_looked_into() -> None:
    shown = texts("en").plain("S10.plain", word="{ref}{0}{word.__class__}{word!r}")
    assert "!{ref}{0}{word.__class__}{word!r}." in shown


def test_fields_are_escaped_in_html_and_not_in_plain_text() -> None:
    english = texts("en")
    assert "<i>&" in english.plain("S10.plain", word="<i>&")
    assert "<code>!&lt;i&gt;&amp;&quot;</code>" in english.html("S10.plain", word='<i>&"')
    assert english.html("S15") == "Stopped in time. Nothing was sent."


def test_a_missing_field_or_text_names_itself() -> None:
    with pytest.raises(MissingText, match=r"S10\.plain.*word"):
        texts("en").plain("S10.plain")
    with pytest.raises(MissingText, match=r"S99"):
        texts("en").plain("S99")


@pytest.mark.parametrize(
    ("language", "n", "said"),
    [
        ("en", 1, "1 day"),
        ("en", 3, "3 days"),
        ("de", 1, "1 Tag"),
        ("de", 0, "0 Tagen"),
        ("zh", 1, "1天"),
        ("zh", 5, "5天"),
    ],
)
def test_plural_forms_follow_the_rule_of_the_language(language: str, n: int, said: str) -> None:
    assert texts(language).plain("duration.days", n=n) == said


def test_the_check_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text('x = "S99.nowhere"; y = f"S13.{code}"\n', encoding="utf-8")
    found = findings(tmp_path)
    assert "S99.nowhere: used in the code, but in no language" in found
    assert "S15: used nowhere in the code; remove it" in found
    assert not [finding for finding in found if finding.startswith("S13.")]


@pytest.mark.parametrize(("arguments", "code"), [(["check"], 0), ([], 2), (["fix"], 2)])
def test_the_check_is_a_command(arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "messenger.i18n", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr


def test_no_text_is_the_same_in_two_languages_by_mistake() -> None:
    english, german, chinese = (texts(language).entries for language in LANGUAGES)
    sentences = [id for id, forms in english.items() if id[0] in "SC" and len(forms[0].split()) > 5]
    assert len(sentences) > 80
    assert not [id for id in sentences if english[id] in (german[id], chinese[id])]
