"""The table of crash points and the code agree: a new point without its line in the table fails here."""

import re
from pathlib import Path

from messenger.domain.events import NAMES
from tests.crash.points import ELSEWHERE, LIVED, WALKED

ROOT = Path(__file__).parents[2]
_POINT = re.compile(r'\bfp\((?:"(\w+)"(?: if [^"]* else "(\w+)")?)\)')


def _points_in(*places: str) -> set[str]:
    sources = [path for place in places for path in (ROOT / place).rglob("*.py") if path.name != "failpoints.py"]
    return {name for path in sources for found in _POINT.findall(path.read_text()) for name in found if name}


def _known() -> set[str]:
    return {point.name for point in WALKED} | set().union(*LIVED.values(), *ELSEWHERE.values())


def test_somebody_dies_at_every_crash_point_of_the_product() -> None:
    missing = _points_in("messenger", "bridges") - _known()
    assert not missing, f"say in tests/crash/points.py where the program dies there: {sorted(missing)}"


def test_every_name_in_the_table_is_a_point_or_an_event() -> None:
    assert _known() <= _points_in("messenger", "bridges", "tests/crash") | NAMES.keys()


def test_who_is_said_to_die_elsewhere_does() -> None:
    for file, points in ELSEWHERE.items():
        text = (ROOT / file).read_text()
        assert all(f'"{point}' in text for point in points), file


def test_there_are_at_least_forty() -> None:
    assert len(_known()) >= 40
