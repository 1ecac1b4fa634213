"""Alert rules and dashboard: they name metrics and label values that exist, and every alert has its paragraph."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from messenger.observability import metrics
from messenger.observability.families import Alias
from tests.support.absent import absent
from tests.support.promtool import promtool

FOLDER = Path(__file__).parents[2] / "docs" / "operations"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
RUNBOOK = (FOLDER / "runbook.md").read_text()
PANELS = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
NAMED = re.compile(r"(stellwerk_\w+)(?:\{([^}]*)\})?")
WANTED = re.compile(r'(\w+)\s*(?:=~|!=|=)\s*"([^"]*)"')


def _expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in PANELS for target in panel.get("targets", ()))


def _problems(expression: str) -> Iterator[str]:
    for name, labels in NAMED.findall(expression):
        family = metrics.FAMILIES.get(name) or metrics.FAMILIES.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if family is None:
            yield f"there is no metric {name}"
            continue
        for label, values in WANTED.findall(labels):
            words = family.labels.get(label)
            if words is None:
                yield f"{name} has no label {label}"
            elif not isinstance(words, Alias):
                yield from (f"{label} of {name} is never {one}" for one in values.split("|") if one not in words.words)


@pytest.mark.parametrize("expression", list(_expressions()))
def test_what_is_asked_for_exists(expression: str) -> None:
    assert list(_problems(expression)) == []


def test_what_does_not_exist_is_found() -> None:
    assert list(_problems("stellwerk_dead_letter > 0")) == ["there is no metric stellwerk_dead_letter"]
    assert list(_problems('stellwerk_trust_alerts{cause="mood"}')) == ["cause of stellwerk_trust_alerts is never mood"]
    assert list(_problems('stellwerk_trust_alerts{why="x"}')) == ["stellwerk_trust_alerts has no label why"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_its_paragraph(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (FOLDER.parents[1] / page).exists()
    assert anchor == rule["alert"].lower()
    paragraph = re.search(rf"^## {rule['alert']}\n\n(.+?)(?=\n## |\Z)", RUNBOOK, re.M | re.S)
    assert paragraph and "\nFirst: " in paragraph[1], "what it means, and what to do first"
    assert rule["annotations"]["summary"] in paragraph[1]
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_no_paragraph_is_about_an_alert_that_is_gone() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.M) == [rule["alert"] for rule in RULES]


def test_links_of_the_runbook_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", RUNBOOK)
    assert links and [link for link in links if not (FOLDER / link).exists()] == []


@pytest.fixture(scope="module")
def judge() -> str:
    return promtool() or absent("promtool is not installed here, and cannot be had from Debian")


def test_prometheus_accepts_the_rules(judge: str) -> None:
    done = subprocess.run([judge, "check", "rules", str(FOLDER / "alerts.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_not_otherwise(judge: str) -> None:
    done = subprocess.run([judge, "test", "rules", str(FOLDER / "alerts_test.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
