"""Properties of cleaning and splitting, for any text a stranger can send."""

import json
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from messenger.domain.text import (
    MAX_FILENAME,
    MAX_NAME,
    clean_filename,
    clean_message,
    clean_name,
    json_size,
    pieces,
    to_html,
)

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NASTY = st.sampled_from(
    [*BIDI, "\u200b", "\u200d", "\u200c", "\ufeff", "\u3164", "\x00", "\x1b", "\r\n", "\u2028", "🔒", "→", "—", ": ",
     "：", "!", "/", "\\", "..", ".", " ", "Internal", "👩\u200d⚕️", "e\u0301", "\u0301" * 9,
     "نی", "CON", ".exe", "你好。", "\ud800", "a b. "]
)  # fmt: skip
ANY = st.one_of(st.text(), st.lists(st.one_of(NASTY, st.text(max_size=3)), max_size=30).map("".join))


def forbidden(text: str, *, allowed: str = "") -> list[str]:
    return [
        char for char in text if char not in allowed and (char in BIDI or unicodedata.category(char) in ("Cc", "Cs"))
    ]


@given(ANY)
def test_a_cleaned_message_has_no_controls_and_stays_as_it_is(raw: str) -> None:
    clean = clean_message(raw)
    assert forbidden(clean, allowed="\n\t") == []
    assert clean_message(clean) == clean
    clean.encode()


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_cleaning_a_message_changes_no_ordinary_text(text: str) -> None:
    assert clean_message(text) == text


@given(ANY)
@example("🔒 Internal — Anna: the dose is right")
@example("A" * 79 + "\u200d🔒")
@example("e" + "\u0301" * 90)
def test_a_cleaned_name_is_one_short_visible_line(raw: str) -> None:
    name = clean_name(raw, default="customer")
    assert 0 < len(name) <= MAX_NAME
    assert forbidden(name) == [] and name == name.strip() and "\n" not in name
    assert not re.search("[🔒→:：—\u200b\ufeff\u3164]", name)
    assert not name.startswith(("!", "/", "！"))
    assert any(unicodedata.category(char)[0] in "LNSP" for char in name)
    assert clean_name(name, default="customer") == name


@given(ANY)
@example("CON.tar.gz")
@example("A\x1b\u0300")
@example("a" * 400 + ".pdf")
@example("ä" * 200 + ".jpeg")
@example(". .\u202e. ")
def test_a_cleaned_filename_is_only_a_name(raw: str) -> None:
    name = clean_filename(raw)
    assert name and len(name.encode()) <= MAX_FILENAME
    assert not re.search(r'[/\\<>:"|?*]', name) and forbidden(name) == []
    assert name not in (".", "..") and not name.startswith((".", " ")) and not name.endswith((".", " "))
    assert name.split(".")[0].casefold() not in ("con", "nul", "aux", "prn", "com1", "lpt9")
    assert clean_filename(name) == name


@given(st.text(alphabet="aä你.", min_size=1, max_size=600), st.sampled_from(["pdf", "jpeg", "docx"]))
def test_a_shortened_filename_keeps_its_extension(stem: str, extension: str) -> None:
    assert clean_filename(f"x{stem}x.{extension}").endswith(f".{extension}")


@given(ANY.map(clean_message))
def test_the_counted_size_is_that_of_the_json(text: str) -> None:
    assert json_size(text) == len(json.dumps(text, ensure_ascii=False).encode()) - 2


@given(ANY.map(clean_message), st.integers(16, 200))
def test_pieces_together_are_the_text_and_each_fits(text: str, limit: int) -> None:
    cut = list(pieces(text, limit))
    assert "".join(cut) == text
    assert all(0 < json_size(piece) <= limit for piece in cut)


@given(ANY)
def test_escaped_html_has_no_markup_but_line_breaks(text: str) -> None:
    assert not re.search(r"[<>\"']", to_html(text).replace("<br>", ""))
