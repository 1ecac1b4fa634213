"""Every way in has a policy: the ways are taken from the program itself, so that a new one without a policy fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from messenger.app import effects
from messenger.app.access import EFFECTS
from messenger.app.desk_orders import DESK_ORDERS
from messenger.app.effects import Effect
from messenger.app.orders import _ORDERS
from messenger.cli import app
from messenger.cli.policies import VERBS
from messenger.domain.access import CONTENT, IN_HOUSE, Action, Actor, HouseRole, authorize
from messenger.domain.command_table import COMMANDS
from messenger.reference.access import page
from messenger.storage.codec import _EFFECTS


def verbs(command: Any, *before: str) -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield " ".join(before)
        return
    for name, below in command.commands.items():
        yield from verbs(below, *before, name)


def leaves() -> set[type[Effect]]:
    """The effects that become rows: those that know their lane, and those that stay inside."""
    inside = {effects.SetTimer, effects.RouteGroup}
    made = {kind for kind in _EFFECTS.values() if kind.__name__ not in _FAMILIES}
    return made | inside


_FAMILIES = {
    "Effect",
    "OfConversation",
    "ToThread",
    "AtCustomer",
    "AboutMenu",
    "AtDeskRoom",
    "Answer",
    "OfGroup",
}


def test_every_verb_has_a_policy() -> None:
    assert [verb for verb in verbs(typer.main.get_command(app)) if verb not in VERBS] == []


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_no_verb_of_an_administrator_shows_content(verb: str) -> None:
    action = VERBS[verb]
    if action in CONTENT:
        assert not authorize(Actor(roles=frozenset({HouseRole.ADMIN, HouseRole.AUDITOR})), action).is_allowed
    may = {role for role in HouseRole if action in IN_HOUSE[role]}
    assert may, f"nobody may {verb}"
    assert action in (Action.EXPORT, Action.ERASE, Action.RESTRICT) or HouseRole.DPO not in may


def test_every_effect_says_what_it_shows() -> None:
    assert leaves() == set(EFFECTS)
    assert set(EFFECTS.values()) == {"none", "stream", "command", "reader"}


def test_every_command_is_carried_out_behind_the_gate() -> None:
    assert {command.name for command in COMMANDS} == set(_ORDERS) | set(DESK_ORDERS)


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/reference/access.md"
    assert written.read_text("utf-8") == page(), "run: python -m messenger.reference"
