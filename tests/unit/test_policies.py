"""Every way in has a policy: the ways are taken from the program itself, so that a new one without a policy fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from messenger.app.access import EFFECTS
from messenger.app.desk_orders import DESK_ORDERS
from messenger.app.effects.base import Effect
from messenger.app.orders import _ORDERS
from messenger.cli import app
from messenger.cli.gate import _gated
from messenger.cli.policies import IN_THEIR_OWN, VERBS
from messenger.cli.state import Failed
from messenger.domain.access import CONTENT, IN_HOUSE, Action, Actor, HouseRole, authorize
from messenger.domain.command_table import COMMANDS
from messenger.reference.access import page
from tests.support.effects import kinds


def commands(command: Any, *before: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(before), command
        return
    for name, below in command.commands.items():
        yield from commands(below, *before, name)


def verbs(command: Any) -> Iterator[str]:
    return (verb for verb, _ in commands(command))


def leaves() -> set[type[Effect]]:
    """The effects that become rows."""
    return {kind for kind in kinds() if kind.__name__ not in _FAMILIES}


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


def test_every_verb_asks_the_gate_when_it_is_run() -> None:
    assert [verb for verb, command in commands(typer.main.get_command(app)) if not is_gated(verb, command)] == []
    assert set(VERBS) >= IN_THEIR_OWN


def is_gated(verb: str, command: Any) -> bool:
    return getattr(command.invoke, "func", None) is _gated and command.invoke.args[0] == verb


def test_a_verb_without_a_policy_is_refused_when_it_is_run() -> None:
    with pytest.raises(Failed, match="has no policy"):
        _gated("group burn", lambda _: pytest.fail("it ran"), None)  # type: ignore[arg-type]


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


def test_no_command_is_only_declared() -> None:
    """That each one comes to the gate, and what it says there, is played in `integration/test_access_cross.py`."""
    assert {command.name for command in COMMANDS} == set(_ORDERS) | set(DESK_ORDERS)


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/reference/access.md"
    assert written.read_text("utf-8") == page(), "run: python -m messenger.reference"
