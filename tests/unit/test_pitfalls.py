"""`docs/pitfalls.md` has all pitfalls, and names no test that does not exist."""

import re
from pathlib import Path

import pytest

from tests.unit.test_threat_model import names_tests_that_exist

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pitfalls.md").read_text()
ROWS = re.findall(r"^\| (T\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_there_are_all_twenty_one_pitfalls() -> None:
    assert [number for number, *_ in ROWS] == [f"T{n}" for n in range(1, 22)]


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, _, tests in ROWS])
def test_every_pitfall_names_tests_that_exist(number: str, tests: str) -> None:
    names_tests_that_exist(number, tests)
