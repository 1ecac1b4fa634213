"""No moment is kept in 32 bits: they end on 19 January 2038."""

import re

import sqlalchemy as sa

from messenger.storage import models  # noqa: F401 - all tables are declared there
from messenger.storage.models.base import metadata

_OF_TIME = re.compile(r"(^|_)(at|ms|until|since|when|time|moment|expires|seconds)$")
_LENGTHS = {"skill_group.hold_seconds"}


def _narrow(column: sa.Column[object]) -> bool:
    is_integer = isinstance(column.type, sa.Integer) and not isinstance(column.type, sa.BigInteger)
    return is_integer or (isinstance(column.type, sa.DateTime) and not column.type.timezone)


def test_no_column_of_a_moment_is_32_bits_wide_or_without_its_zone() -> None:
    moments = [each for table in metadata.tables.values() for each in table.columns if _OF_TIME.search(each.name)]
    assert len(moments) > 50, "the pattern finds them"
    assert {f"{each.table}.{each.name}" for each in moments if _narrow(each)} <= _LENGTHS
