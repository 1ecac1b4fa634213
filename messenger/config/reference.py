"""The reference page of the settings and the JSON schema, both made from the models, so that they are never stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from messenger.config.sections.matrix import Desk
from messenger.config.settings import ENV_PREFIX, Settings

_HEAD = """<!-- Made by `python -m messenger.config docs`; a test compares. Do not edit. -->
# Configuration

Stellwerk reads one file, `stellwerk.toml`. `stellwerk init` writes it with comments.
A value is taken from the first of:

1. the command line: `stellwerk --set SECTION.KEY=VALUE …`
2. the environment: `STELLWERK__SECTION__KEY` (lists and tables as JSON)
3. the secrets directory, `/run/secrets` or `STELLWERK_SECRETS_DIR`: files named `stellwerk__section__key`
4. `stellwerk.toml`, or the file named by `--config` or `STELLWERK_CONFIG`
5. the default

An unknown section or key is an error. Relative paths start at the folder of the file. A key marked *secret* should
stand in a file of its own (`*_file`); if it stands in `stellwerk.toml`, that file should have mode 0600.
`stellwerk config schema` prints a JSON schema for editors.
"""


def schema() -> dict[str, Any]:
    """JSON schema of `stellwerk.toml`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def page() -> str:
    """The whole reference page, Markdown."""
    sections = [_section(f"[{name}]", _model_of(field)) for name, field in Settings.model_fields.items()]
    place = list(Settings.model_fields).index("matrix") + 1
    sections.insert(place, _section("[[matrix.desks]]", Desk))
    return "\n".join([_HEAD, *sections])


def rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """(key, kind, default, meaning) of every plain key of a section."""
    for name, field in model.model_fields.items():
        if Desk in getattr(field.annotation, "__args__", ()):
            continue
        yield name, _kind(field), _default(field), field.description or ""


def _section(title: str, model: type[BaseModel]) -> str:
    lines = [
        f"## `{title}`",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| key | kind | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in rows(model)]
    if title.startswith("[["):
        lines += ["", f"In the environment: `{ENV_PREFIX}MATRIX__DESKS`, a JSON list of tables."]
    return "\n".join([*lines, ""])


def _model_of(field: FieldInfo) -> type[BaseModel]:
    assert isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    return field.annotation


def _kind(field: FieldInfo) -> str:
    names = str(field.annotation)
    if SecretStr.__name__ in names:
        return "text, *secret*"
    if getattr(field.annotation, "__origin__", None) is tuple:
        return "list of texts"
    if "Literal" in names:
        return " or ".join(f"`{value}`" for value in getattr(field.annotation, "__args__", ()))
    if Path.__name__ in names:
        return "path"
    return "number" if field.annotation in (int, float) else "text"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value) or "empty"
    return f"`{value}`"
