"""Tables for people: what they copy from them is never broken."""

from dataclasses import dataclass

import pytest

from messenger.cli import output

ID = "conversation:0e6f7a52-6f0f-4c0a-9d5e-0f2f3a8d7c11"


@dataclass(frozen=True)
class Row:
    object: str
    purpose: str = "a purpose of several words that may be folded"


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, columns: int) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    columns_of_rows = {"object": "about", "purpose": "for"}
    output.listing([Row(ID), Row(ID)], columns_of_rows, as_json=False, empty="", whole=("object",))
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_an_id_stands_on_one_line_however_narrow_the_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    said = shown(capsys, monkeypatch, columns=columns)
    assert sum(ID in line for line in said.splitlines()) == 2


def test_where_it_fits_it_is_a_table_and_elsewhere_a_block_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(capsys, monkeypatch, columns=80).splitlines()[0].startswith("about")
    blocks = shown(capsys, monkeypatch, columns=40).splitlines()
    assert blocks[0] == f"about  {ID}" and blocks[1].startswith("for ") and blocks[2] == ""
