"""Turns pydantic's findings into sentences: which file or variable, which key, what is wrong, what was meant."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rapidfuzz import process

_CUTOFF = 60  # rapidfuzz ratio; below that a guess misleads


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What one call of `Settings.load` reads from."""

    file: Path
    toml: dict[str, Any]
    overrides: dict[str, Any]
    env_prefix: str
    secrets_dir: Path | None


def explain(error: ValidationError, sources: Sources, model: type[BaseModel]) -> str:
    """One line for each fault. Values are never shown: they may be secrets."""
    return "\n".join(_sentence(fault, sources, model) for fault in error.errors(include_input=False, include_url=False))


def unknown_variables(sources: Sources, model: type[BaseModel]) -> list[str]:
    """Variables with our prefix whose section does not exist; pydantic-settings passes over them in silence."""
    found = []
    for name in sorted(os.environ):
        section = name.removeprefix(sources.env_prefix).split("__")[0].lower()
        if name.startswith(sources.env_prefix) and section not in model.model_fields:
            hint = _did_you_mean(section, model.model_fields)
            found.append(f"environment variable {name}: there is no section `{section}`{hint}")
    return found


def dotted(location: Iterable[int | str]) -> str:
    """("matrix", "desks", 0, "user_id") -> `matrix.desks[1].user_id`: people count from one."""
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _sentence(fault: Any, sources: Sources, model: type[BaseModel]) -> str:
    location: tuple[int | str, ...] = fault["loc"]
    where, key = _origin(location, sources), dotted(location)
    match fault["type"]:
        case "extra_forbidden":
            known = _keys_beside(location, model)
            kind = "section" if len(location) == 1 else "key"
            return f"{where}: there is no {kind} `{key}`{_did_you_mean(str(location[-1]), known)}"
        case "missing":
            return f"{sources.file}: `{key}` is missing. {_description(location, model)}".rstrip()
        case "string_pattern_mismatch":
            return f"{where}: `{key}` is not well formed. {_description(location, model)}".rstrip()
        case _:
            return f"{where}: `{key}`: {fault['msg'].removeprefix('Value error, ')}"


def _origin(location: tuple[int | str, ...], sources: Sources) -> str:
    """Where the faulty value came from, in the order in which sources win."""
    if _holds(sources.overrides, location):
        return "command line"
    names = [str(part) for part in location if isinstance(part, str)]
    for length in range(len(names), 1, -1):
        variable = sources.env_prefix + "__".join(names[:length]).upper()
        if variable in {name.upper() for name in os.environ}:
            return f"environment variable {variable}"
        secret = sources.secrets_dir and sources.secrets_dir / variable.lower()
        if secret and secret.exists():
            return str(secret)
    return str(sources.file)


def _holds(table: Any, location: tuple[int | str, ...]) -> bool:
    for part in location:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _model_at(location: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    """The model that holds the last part of a location."""
    here: type[BaseModel] | None = model
    for part in location[:-1]:
        if isinstance(part, int) or here is None:
            continue
        field = here.model_fields.get(part)
        here = None if field is None else next(_models_in(field.annotation), None)
    return here


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


def _keys_beside(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    here = _model_at(location, model)
    return [] if here is None else list(here.model_fields)


def _description(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    here = _model_at(location, model)
    field = here.model_fields.get(str(location[-1])) if here else None
    if field is None:
        return ""
    if field.description:
        return field.description
    nested = next(iter(_models_in(field.annotation)), None)
    return "" if nested is None else (nested.__doc__ or "").strip()


def _did_you_mean(word: str, known: Iterable[str] | Mapping[str, Any]) -> str:
    choices = list(known)
    guess = process.extractOne(word.lower(), choices, score_cutoff=_CUTOFF)
    if guess:
        return f". Did you mean `{guess[0]}`?"
    return f". Known: {', '.join(f'`{name}`' for name in choices)}" if choices else ""
