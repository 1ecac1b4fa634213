"""What all verbs share: which settings file was meant, how failures are told, how a coroutine is run."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from messenger.cli import output
from messenger.cli.words import words_of
from messenger.config import DEFAULT_FILE, Settings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class State:
    """The global options. `config` None means `stellwerk.toml` in the current folder; `by`: in whose name."""

    config: Path | None = None
    by: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.config or DEFAULT_FILE


class Failed(Exception):
    """A verb could not do what was asked. The text tells the person at the terminal what to do."""


class Verbs(TyperGroup):
    """Turns failures into one line on standard error and exit code 1; wrong usage is 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the program's edge: told once, in words
            output.error(words_of(error))
            raise typer.Exit(1) from None


def settings_of(ctx: typer.Context) -> Settings:
    """Raises ConfigError, which `Verbs` tells."""
    state = state_of(ctx)
    settings = Settings.load(state.config, overrides=state.overrides)
    for warning in settings.warnings:
        output.warn(warning)
    return settings


def state_of(ctx: typer.Context) -> State:
    found = ctx.find_object(State)
    return found or State()


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def overrides_of(assignments: list[str]) -> dict[str, Any]:
    """`section.key=value` → {section: {key: value}}. A value that starts like a JSON list or table is read as JSON."""
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot or "." in key:
            raise typer.BadParameter(f"{assignment!r} is not SECTION.KEY=VALUE")
        overrides.setdefault(section, {})[key] = _value(value)
    return overrides


def _value(text: str) -> Any:
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{text!r} is not JSON") from None
