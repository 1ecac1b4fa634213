"""Writes a commented `stellwerk.toml`. Comments and defaults come from the settings' models: they are never stale."""

import textwrap
from collections.abc import Mapping
from typing import Any

import tomlkit
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from tomlkit.items import AoT, Table

from messenger.config.sections.matrix import Desk
from messenger.config.settings import Settings

WIDTH = 100
HEAD = """Settings of Stellwerk. Lines like `# name = value` show defaults.
Reference: docs/reference/configuration.md"""


def render(values: Mapping[str, Mapping[str, Any]]) -> str:
    """`values` are what to set, by section; every other key appears as a comment with its default."""
    document = tomlkit.document()
    _comment(document, HEAD)
    for name, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        document.add(tomlkit.nl())
        document.add(name, _table(model, values.get(name, {})))
    return tomlkit.dumps(document)


def _table(model: type[BaseModel], values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    _comment(table, (model.__doc__ or "").strip())
    for name, field in model.model_fields.items():
        if isinstance(values.get(name), list) and model.model_fields[name].annotation == tuple[Desk, ...]:
            table.add(name, _desks(values[name]))
        else:
            _key(table, name, field, values)
    return table


def _desks(rows: list[Mapping[str, Any]]) -> AoT:
    desks = tomlkit.aot()
    for row in rows:
        desks.append(_table(Desk, row))
    return desks


def _key(table: Table, name: str, field: FieldInfo, values: Mapping[str, Any]) -> None:
    table.add(tomlkit.nl())
    _comment(table, field.description or "")
    if name in values:
        table.add(name, values[name])
    else:
        table.add(tomlkit.comment(f"{name} = {_default(field)}"))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return '""'
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    plain = value if isinstance(value, (int, tuple)) else str(value)
    return tomlkit.item(list(plain) if isinstance(plain, tuple) else plain).as_string()


def _comment(container: Any, text: str) -> None:
    for line in text.splitlines():
        for part in textwrap.wrap(line, WIDTH):
            container.add(tomlkit.comment(part))
