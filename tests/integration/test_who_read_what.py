"""A person's archive says who read their words and who came where they stand: for machines and on the page."""

import html
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from messenger import bootstrap
from tests.integration.rights_house import BEN, RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import CARD, CUSTOMER, GROUP, ROOM
from tests.integration.test_commands_outside import has_direct_chat, says

CLEO, FORMER, ELSEWHERE = "@cleo:x", "@former:x", "@elsewhere:x"


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[RightsHouse]:
    async with open_rights_house(settings_for(tmp_path, database_url)) as opened:
        yield opened


async def test_reading_and_coming_into_the_room_are_in_the_archive_in_both_forms(
    house: RightsHouse, tmp_path: Path
) -> None:
    number = await _a_conversation_that_is_read(house)
    await house.rights.export(CUSTOMER, "dora", tmp_path / "anna.zip")
    document, page = _opened(tmp_path / "anna.zip")
    [only], rows = document["conversations"], document["accesses"]
    kept = [(row["action"], row["who"], row["outcome"]) for row in rows]
    names = {row["who"] for row in rows if row["action"] == "group.join"}
    assert len(names) == 2, "Ben and Cleo; not who had left before, nor who is in another group"
    assert {(row["about"].partition(":")[0], row["group"]) for row in rows if row["who"] in names} >= {("group", GROUP)}
    reads = [row for row in rows if row["action"] == "conversation.read"]
    assert [(row["purpose"], row["about"], row["outcome"]) for row in reads] == [
        ("context", f"conversation:{only['id']}", "allowed"),
        ("serve", f"conversation:{only['id']}", "allowed"),
        ("serve", f"conversation:{only['id']}", "refused"),
    ]
    [reader] = {row["who"] for row in reads if row["outcome"] == "allowed"}
    assert reader in names, "Ben is the same number everywhere"
    assert ("conversation.see", "shell", "allowed") in kept, "`conversation show` on the command line"
    told = [line for line in html.unescape(page).split("<tr>") if f"<td>{reader}</td>" in line]
    assert [line for line in told if f"{number}: was shown what was said" in line and "<td>to serve you</td>" in line]
    assert [line for line in told if f"came into the room of {GROUP}" in line]
    [seen] = [line for line in html.unescape(page).split("<tr>") if f"{number}: was shown its state" in line]
    assert "<td>An operator</td>" in seen
    [refused] = [line for line in html.unescape(page).split("<tr>") if "<td>refused</td>" in line]
    assert f"{number}: conversation.read" in refused, "who was refused has read nothing"


async def test_who_could_read_a_room_of_its_own_is_in_the_archive_in_both_forms(
    house: RightsHouse, tmp_path: Path
) -> None:
    await _a_conversation_that_is_read(house)
    await house.desk.says(BEN, f"!room {CLEO}")
    await house.rights.export(CUSTOMER, "dora", tmp_path / "anna.zip")
    document, page = _opened(tmp_path / "anna.zip")
    [only] = document["conversations"]
    joined = {row["who"] for row in document["accesses"] if row["action"] == "conversation.join"}
    assert joined == set(only["readers"]) and len(joined) == 2
    assert f"in its own room, or spoke in its thread: {', '.join(only['readers'])}" in page
    assert page.count("came into its own room and could read all of it") == 2


async def _a_conversation_that_is_read(house: RightsHouse) -> str:
    """By Ben, who has it, and asked for by somebody from elsewhere; Cleo comes later, and one had left before."""
    desk = house.desk
    await desk.set_up([BEN, FORMER])
    await desk.remove_member(GROUP, FORMER)
    await desk.add_group("Other")
    await desk.add_member("Other", ELSEWHERE)
    async with house.engine.begin() as connection:
        number = str(await connection.scalar(sa.text("UPDATE conversation SET opened_at = now() RETURNING number")))
        columns = "conversation_id, number, group_id, room_id, card"
        stands = f"INSERT INTO place ({columns}) SELECT id, 1, group_id, :room, :card FROM conversation"
        await connection.execute(sa.text(stands), {"room": ROOM, "card": CARD})
    await desk.says(BEN, "!claim")
    await desk.says(BEN, "!history")
    await has_direct_chat(desk, ELSEWHERE, "!elsewhere-and-desk")
    await desk.put(says(ELSEWHERE, f"!history {number}", room="!elsewhere-and-desk"))
    await desk.work(1)
    await desk.add_member(GROUP, CLEO)
    async with bootstrap.open_admin(house.settings) as admin:
        assert await admin.conversation(number) is not None
    return number


def _opened(file: Path) -> tuple[dict[str, Any], str]:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read("data.json")), archive.read("index.html").decode()
