"""`docs/threat-model.md` names no test that does not exist, and what it says about connections and packages holds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = re.findall(r"^\| (T\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, _, tests in ROWS])
def test_every_threat_names_tests_that_exist(number: str, tests: str) -> None:
    named = TEST.findall(tests)
    assert named, f"{number} names no test"
    for file, function in named:
        assert function in _functions(ROOT / "tests" / file), f"{number}: there is no {function} in tests/{file}"


def test_threats_are_numbered_without_a_gap() -> None:
    assert [number for number, *_ in ROWS] == [f"T{n}" for n in range(1, len(ROWS) + 1)]


def test_what_a_control_names_is_there() -> None:
    for _, _, control, _ in ROWS:
        for file in re.findall(r"`(\w+/\w+\.py)`", control):
            assert (ROOT / "messenger" / file).exists(), f"there is no messenger/{file}"


def test_only_the_homeservers_clients_open_connections() -> None:
    """What people write can therefore make the program fetch nothing. The demonstration watches its own homeserver."""
    opening = {
        str(file.relative_to(ROOT))
        for folder in ("messenger", "bridges")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"ClientSession\(|urlopen\(|open_connection\(|create_connection\(", file.read_text())
    }
    assert opening == {"messenger/cli/doctor/homeserver.py", "messenger/demo/synapse.py", "messenger/matrix/http.py"}


def test_every_package_is_pinned_with_its_hash() -> None:
    packages = re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())
    pinned = [package for package in packages if re.match(r"[\w.\[\]-]+==", package)]
    assert len(pinned) > 30
    assert not [package.splitlines()[0] for package in pinned if "--hash=sha256:" not in package]


def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
