"""Examples of cleaning and splitting that a reader should know."""

import time

import pytest

from messenger.domain.text import clean_filename, clean_message, clean_name, pieces


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Anna Krüger", "Anna Krüger"),
        ("  Anna \n Krüger ", "Anna Krüger"),
        ("🔒 Internal — Anna: hi", "Internal - Anna hi"),
        ("→ Customer — Anna", "Customer - Anna"),
        ("!claim", "claim"),
        ("//note", "note"),
        ("Anna\u202egnp.exe", "Annagnp.exe"),
        ("A\u200bn\u2060n\ufeffa", "Anna"),
        ("\u3164\u3164", "customer"),
        ("🔒", "customer"),
        ("", "customer"),
        ("\u0301\u0301", "customer"),
        ("نیما\u200cی", "نیما\u200cی"),
        ("👩\u200d⚕️ Dr. Wu", "👩\u200d⚕️ Dr. Wu"),
        ("李雷", "李雷"),
        ("Z" + "\u0335" * 60 + "algo", "Z" + "\u0335" * 4 + "algo"),
        ("x" * 200, "x" * 80),
    ],
)
def test_names_are_shown_without_tricks(raw: str, name: str) -> None:
    assert clean_name(raw, default="customer") == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\Rezept.pdf", "Rezept.pdf"),
        ("Rezept\u202efdp.exe", "Rezeptfdp.exe"),
        ("CON.txt", "_CON.txt"),
        ("lpt1", "_lpt1"),
        (".htaccess", "htaccess"),
        ("a.pdf. . ", "a.pdf"),
        ("a\x00b\x7f.pdf", "ab.pdf"),
        ("...", "file"),
        ("", "file"),
        ("处方 1.jpg", "处方 1.jpg"),
    ],
)
def test_file_names_are_only_names(raw: str, name: str) -> None:
    assert clean_filename(raw) == name


def test_a_message_keeps_its_lines_and_loses_its_controls() -> None:
    assert clean_message("a\r\nb\rc\u2028d\x00\x1b[31m\te\u202e\ud800") == "a\nb\nc\nd[31m\te"


def test_a_message_is_cut_at_the_best_place() -> None:
    paragraphs = "\n\n".join("word " * 20 + str(number) for number in range(4))
    assert [piece.splitlines()[0][-1] for piece in pieces(paragraphs, 250)] == ["0", "2"]
    assert all(piece.endswith(". ") for piece in pieces("One sentence here. " * 20, 110))
    assert next(pieces("你好。" * 30, 90)) == "你好。" * 10
    assert next(pieces("x" * 100, 48)) == "x" * 48


def test_a_cut_takes_no_mark_from_its_letter() -> None:
    family = "👩\u200d👩\u200d👧"
    for limit in range(60, 90):
        for piece in pieces(family * 20, limit):
            assert piece.strip("\u200d") == piece


def test_a_megabyte_is_cut_in_well_under_a_second() -> None:
    begun = time.process_time()
    assert len(list(pieces("Ein Satz mit ä und 你好. " * 40_000, 40_000))) > 25
    assert time.process_time() - begun < 2
