"""May what a parser found be stored? PostgreSQL takes no NUL and no half of a surrogate pair, no number beyond its
types, and no moment without a time zone or beyond its calendar."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum

from pydantic import BaseModel

BIGINT = 2**63


def unstorable(value: object, where: str = "") -> str:
    """Where it cannot be stored; empty: it can."""
    match value:
        case None | bool() | bytes() | Enum():
            return ""
        case str():
            return where if "\0" in value or not _is_utf8(value) else ""
        case int():
            return "" if -BIGINT <= value < BIGINT else where
        case float():
            return "" if math.isfinite(value) else where
        case datetime():
            return "" if value.tzinfo is not None and value.year >= 1 else where
        case BaseModel():
            return _first((getattr(value, name), f"{where}.{name}") for name in type(value).model_fields)
        case Mapping():
            named = [(key, f"{where} key") for key in value]
            return _first([*named, *((part, f"{where}.{key!r}") for key, part in value.items())])
        case list() | tuple() | set() | frozenset():
            return _first((part, f"{where}[]") for part in value)
        case _ if is_dataclass(value):
            return _first((getattr(value, field.name), f"{where}.{field.name}") for field in fields(value))
        case _:
            return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first(parts: object) -> str:
    return next((found for part, name in parts if (found := unstorable(part, name))), "")  # type: ignore[attr-defined]
