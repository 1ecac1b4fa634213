"""Nothing about a person is stored that an export forgets or an erasure leaves."""

from typing import Any

import pytest

from messenger.bootstrap.export import schema
from messenger.storage.models import whole_schema
from messenger.storage.models.subject_keys import key_metadata
from messenger.storage.personal_data import PERSONAL_DATA


def test_every_column_of_the_database_says_what_export_and_erasure_do_with_it() -> None:
    tables = [*whole_schema().sorted_tables, *key_metadata.sorted_tables]
    stored = {f"{table.name}.{column.name}" for table in tables for column in table.columns}
    listed = {f"{table}.{column}" for table, columns in PERSONAL_DATA.items() for column in columns}
    missing, stale = sorted(stored - listed), sorted(listed - stored)
    assert not missing, (
        f"messenger/storage/personal_data.py does not know {', '.join(missing)}: does it say anything about a customer?"
        " Then say where the export shows it and what the erasure does; else `none` and why"
    )
    assert not stale, f"messenger/storage/personal_data.py names columns that are gone: {', '.join(stale)}"


@pytest.mark.parametrize("table", sorted(PERSONAL_DATA))
def test_what_the_export_is_said_to_show_is_in_its_schema(table: str) -> None:
    for column, rule in PERSONAL_DATA[table].items():
        assert bool(rule.export) or bool(rule.why), f"{table}.{column}: neither shown nor explained"
        if rule.export:
            assert _resolves(schema(), rule.export), f"{table}.{column}: no {rule.export} in data.json"


def test_a_path_that_is_not_there_is_seen() -> None:
    assert not _resolves(schema(), "conversations[].messages[].mood")


def _resolves(whole: dict[str, Any], path: str) -> bool:
    here = whole
    for part in path.split("."):
        here = _follow(whole, here).get("properties", {}).get(part.removesuffix("[]"))
        if here is None:
            return False
        here = _follow(whole, here)
        if part.endswith("[]"):
            here = _follow(whole, here["items"])
    return True


def _follow(whole: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = whole["$defs"][node["$ref"].rpartition("/")[2]]
    return node
