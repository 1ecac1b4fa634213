"""One way from a verb to the administration of the installation."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from messenger.cli.gate import actor_of
from messenger.cli.state import run, settings_of
from messenger.config import Settings

if TYPE_CHECKING:
    from messenger.bootstrap import Admin

_T = TypeVar("_T")


def ask(ctx: typer.Context, work: "Callable[[Admin], Awaitable[_T]]") -> _T:
    """Opens the database that the settings name, does the work, closes it."""
    return run(_ask(settings_of(ctx), actor_of(ctx), work))


async def _ask(settings: Settings, actor: str | None, work: "Callable[[Admin], Awaitable[_T]]") -> _T:
    from messenger.bootstrap import open_admin  # late: `--help` must be quick

    async with open_admin(settings, actor=actor) as admin:
        return await work(admin)
