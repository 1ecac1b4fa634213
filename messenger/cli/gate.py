"""What every verb passes when it is run: may whoever acts do that? The rule and the roles are those of the gate that
commands in rooms pass, too.

Without `--as` and without `security.operator` it is the operator of the machine, whom the operating system has let in:
an administrator, who sees no content. A name is somebody of the staff, and their roles in the house decide."""

from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from messenger.cli.policies import IN_THEIR_OWN, VERBS
from messenger.cli.state import Failed, run, state_of
from messenger.config import ConfigError, Settings
from messenger.domain.access import Action

_ACTOR = "stellwerk.actor"


def behind_gate(command: Any, *path: str) -> None:
    """All verbs of this tree ask before they begin."""
    for name, below in getattr(command, "commands", {}).items():
        behind_gate(below, *path, name)
    if not hasattr(command, "commands"):
        command.invoke = partial(_gated, " ".join(path), command.invoke)


def actor_of(ctx: typer.Context) -> str | None:
    """As the audit log has them; None: the operator of the machine."""
    found: str | None = ctx.meta.get(_ACTOR)
    return found


def _gated(verb: str, invoke: Callable[[typer.Context], Any], ctx: typer.Context) -> Any:
    action = VERBS.get(verb)
    if action is None:
        raise Failed(f"`{verb}` has no policy, so nobody may do it")
    name = _acts(ctx)
    if verb in IN_THEIR_OWN:
        if name is not None and ctx.params.get("by") is None:
            ctx.params["by"] = name
    else:
        _ask(ctx, name, action, verb)
    return _done_by(ctx, invoke)


def _done_by(ctx: typer.Context, invoke: Callable[[typer.Context], Any]) -> Any:
    actor = actor_of(ctx)
    if actor is None:
        return invoke(ctx)
    from messenger.bootstrap import acting  # late: `--help` must be quick

    with acting.in_name_of(actor):
        return invoke(ctx)


def _acts(ctx: typer.Context) -> str | None:
    state = state_of(ctx)
    if state.by is not None:
        return state.by
    try:
        return Settings.load(state.config, overrides=state.overrides).security.operator or None
    except ConfigError:
        return None  # a verb that needs settings will say what is wrong with them


def _ask(ctx: typer.Context, name: str | None, action: Action, verb: str) -> None:
    from messenger.bootstrap import acting  # late: `--help` must be quick

    if name is None and action not in acting.STANDS_IN_FOR:
        acting.operator_may(action)
        return
    state = state_of(ctx)
    settings = Settings.load(state.config, overrides=state.overrides)
    ctx.meta[_ACTOR] = run(acting.let_in(settings, name=name, action=action, verb=verb))
