"""A program that is not there: a skipped test at somebody's desk, a failed one in the project's own checks."""

from pathlib import Path

import pytest

from tests.support.absent import absent

TESTS = Path(__file__).parents[1]
# About the machine itself, not about a program that can be had: its kernel, its rights, its systemd.
OF_THE_MACHINE = {"test_servers.py", "test_disk_full.py", "test_service_unit.py"}


def test_what_is_absent_fails_the_projects_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser here"):
        absent("no browser here")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no browser here"):
        absent("no browser here")


def test_no_test_is_left_out_in_another_way() -> None:
    words = ("pytest.skip" + "(", "mark.skip", "importorskip" + "(")
    found = {
        file.name
        for file in TESTS.rglob("*.py")
        if file != Path(__file__) and any(w in file.read_text() for w in words)
    }
    assert found - {"absent.py"} == OF_THE_MACHINE
