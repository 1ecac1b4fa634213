"""Whatever a parser is given: it finds something that can be stored, or says in its own words that it cannot read it,
and it needs no time that grows faster than the input."""

import contextlib
import random
import time
from pathlib import Path

import pytest

from tests.fuzz.inputs import LONGEST, slow_texts
from tests.fuzz.parsers import PARSERS, Parser
from tests.fuzz.storable import unstorable

TEXTS = [parser for parser in PARSERS if parser.is_text]
# Of this process's own work. For the longest text that can come in one event a quadratic reader needs minutes.
MOST_S = 2.0


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STELLWERK_SECRETS_DIR", str(tmp_path / "none"))


def name_of(parser: Parser) -> str:
    return parser.name


def fuzz(parser: Parser, folder: Path, *, seed: int, count: int) -> int:
    """Returns how many inputs were understood."""
    chance, understood = random.Random(f"{parser.name}{seed}"), 0
    for number in range(count):
        given = parser.makes(chance)
        try:
            found = parser.reads(given, folder)
        except parser.raises:
            continue
        except Exception as error:
            raise AssertionError(f"{parser.name}, input {number}: {given!r:.600}") from error
        where = unstorable(found)
        assert not where, f"{parser.name}, input {number}: {where} of {found!r:.300} from {given!r:.600}"
        understood += 1
    return understood


@pytest.mark.parametrize("parser", PARSERS, ids=name_of)
def test_a_parser_reads_or_refuses_whatever_comes(parser: Parser, tmp_path: Path) -> None:
    understood = fuzz(parser, tmp_path, seed=1, count=parser.short)
    assert understood >= parser.least * parser.short, "what refuses nearly everything is not tried in its depth"


@pytest.mark.long
@pytest.mark.parametrize("parser", PARSERS, ids=name_of)
def test_a_parser_reads_or_refuses_ten_thousand_inputs(parser: Parser, tmp_path: Path) -> None:
    assert fuzz(parser, tmp_path, seed=2, count=parser.long) >= parser.least * parser.long


@pytest.mark.parametrize("length", [4_000, pytest.param(LONGEST, marks=pytest.mark.long)])
@pytest.mark.parametrize("parser", TEXTS, ids=name_of)
def test_no_text_makes_a_reader_slow(parser: Parser, length: int, tmp_path: Path) -> None:
    for given in slow_texts(length):
        begun = time.process_time()
        with contextlib.suppress(*parser.raises):
            parser.reads(given, tmp_path)
        needed = time.process_time() - begun
        assert needed < MOST_S, f"{needed:.1f} s for {given[:40]!r} …"
