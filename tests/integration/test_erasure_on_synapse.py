"""Erasing a person with everything real: Synapse, the program, and people with devices of their own."""

import json
import os
import re
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from messenger.demo.synapse import Synapse
from messenger.matrix.http import HomeserverClient, MatrixError, path
from messenger.storage.database import connect
from messenger.storage.models import whole_schema
from messenger.storage.models.crypto import mx_megolm
from tests.integration.staff_house import House, Thread, open_house
from tests.support.databases import TestDatabases
from tests.support.people import Person
from tests.support.waiting import eventually
from tests.support.warm import run_warm

pytestmark = pytest.mark.asyncio(loop_scope="module")

PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, synapse: Synapse, test_databases: TestDatabases
) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("erase")
    token = folder / "admin.token"
    token.write_text(await admin_token(synapse))
    token.chmod(0o400)
    environment = {"STELLWERK__PRIVACY__HOMESERVER_ADMIN_TOKEN_FILE": str(token)}
    async with open_house(folder, synapse, test_databases, staff=("ben", "cleo"), environment=environment) as opened:
        yield opened


async def admin_token(synapse: Synapse) -> str:
    account = await synapse.register(f"admin-{os.urandom(3).hex()}", admin=True)
    http = HomeserverClient(synapse.url)
    user = {"type": "m.id.user", "user": account.user_id}
    body = {"type": "m.login.password", "identifier": user, "password": account.password}
    try:
        return str((await http.call("POST", "/_matrix/client/v3/login", body))["access_token"])
    finally:
        await http.close()


async def stellwerk(house: House, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    command = ["messenger.cli", "--config", str(house.product.settings_file), *arguments]
    return await run_warm(*command, env=env, cwd=house.product.folder)


async def a_life(house: House, name: str, *, preset: str = "trusted_private_chat") -> tuple[Thread, str]:
    """Words, a note, an answer and a file. Returns the file's address, too. `trusted_private_chat` gives the desk all
    power, as Element does."""
    customer = await house.people.person(name)
    chat = await customer.create_room(
        invite=[house.product.desk], is_direct=True, preset=preset, wait_until_joined=True
    )
    thread = await house.asked(customer, chat, f"Secret matter of {name}", owner=house.ben)
    await thread.say(house.ben, "We will look into it")
    await thread.received("We will look into it")
    await thread.say(house.ben, "// a note about them")
    await thread.customer.send_file(thread.chat, PDF, name="letter.pdf", mimetype="application/pdf")
    file = await house.ben.wait_for(
        house.room, lambda seen: seen.thread == thread.card and "letter.pdf" in str(seen.content.get("filename", ""))
    )
    return thread, str(file.content["file"]["url"])


async def raw_events(person: Person, room: str) -> list[Mapping[str, Any]]:
    """As the homeserver shows them to this person, newest first."""
    found: list[Mapping[str, Any]] = []
    query = {"dir": "b", "limit": "500"}
    while True:
        page = await person.server.call("GET", f"/_matrix/client/v3/rooms/{path(room)}/messages", query=query)
        found += page["chunk"]
        if "end" not in page:
            return found
        query["from"] = page["end"]


def words_left(events: list[Mapping[str, Any]], *, sender: str | None = None) -> list[Mapping[str, Any]]:
    return [
        event
        for event in events
        if event["type"] == "m.room.encrypted" and event["content"] and (sender is None or event["sender"] == sender)
    ]


async def trace_in_database(house: House, *needles: str) -> list[str]:
    """Tables with a row that names one of these."""
    engine, found = connect(house.product.database_url), []
    async with engine.begin() as connection:
        for table in whole_schema().sorted_tables:
            rows = (await connection.execute(sa.select(table))).all()
            if any(needle in str(value) for needle in needles for row in rows for value in row):
                found.append(table.name)
    await engine.dispose()
    return found


async def test_a_person_is_erased_while_the_desk_serves(house: House) -> None:
    other, _ = await a_life(house, "bert")
    thread, file = await a_life(house, "anna")
    person, certificate = thread.customer, house.product.folder / "certificate.json"
    assert "channel_identity" in await trace_in_database(house, person.user_id)
    elsewhere = await asked_elsewhere(house, thread)
    archive = house.product.folder / "anna.zip"
    code, said = await stellwerk(house, "contact", "export", person.user_id, "-o", str(archive))
    assert code == 0, said
    with zipfile.ZipFile(archive) as opened:
        [letter] = [name for name in opened.namelist() if name.startswith("files/")]
        assert letter.endswith("letter.pdf") and opened.read(letter) == PDF
    code, said = await stellwerk(house, "contact", "erase", person.user_id, "--yes", "-o", str(certificate))
    assert code == 0, said
    assert await trace_in_database(house, person.user_id) == []
    assert set(await trace_in_database(house, thread.chat)) <= {"mx_room"}  # a later sync names a room that was left
    engine = connect(house.product.database_url)
    async with engine.begin() as connection:
        sessions = set(await connection.scalars(sa.select(mx_megolm.c.room_id)))
    await engine.dispose()
    assert thread.chat not in sessions and other.chat in sessions
    of_group = await raw_events(house.ben, house.room)
    mine = [event for event in of_group if in_thread(event, thread.card)]
    assert not [event for event in words_left(mine) if event["event_id"] not in await notices(house, thread)]
    assert words_left([event for event in of_group if in_thread(event, other.card)])
    assert elsewhere not in [event["event_id"] for event in words_left(of_group)]
    assert not words_left(await raw_events(person, thread.chat), sender=house.product.desk)
    await eventually(lambda: house.product.desk not in person.members(thread.chat), what="the desk has left")
    with pytest.raises(MatrixError):
        await house.ben.server.download(file, max_bytes=10_000)
    assert (await stellwerk(house, "contact", "verify-certificate", str(certificate)))[0] == 0


async def asked_elsewhere(house: House, thread: Thread) -> str:
    """An answer of the desk beside all threads that names the customer."""
    number = re.findall(r"K-\w+", (await thread.told(house.ben, "You have K-")).body)[0]
    await house.ben.say(house.room, f"!who {number}")
    answer = await house.ben.wait_for(
        house.room, lambda seen: seen.thread is None and "owner:" in seen.body and number in seen.body
    )
    assert "anna" in answer.body.lower()
    return answer.event_id


async def test_words_that_have_lived_long_enough_are_redacted_on_both_sides(house: House) -> None:
    thread, file = await a_life(house, "dora")
    asked = next(each for each in thread.customer.events(thread.chat) if "Secret matter" in each.body)
    await thread.customer.edit(thread.chat, asked.event_id, "Secret matter, in other words")
    await house.ben.wait_for(house.room, lambda seen: "in other words" in seen.body)
    await resolved_long_ago(house, thread)
    code, said = await stellwerk(house, "retention", "run")
    assert code == 0, said

    answer = (await thread.received("We will look into it")).event_id

    async def nothing_is_left() -> bool:
        """The house's own lines to everybody (the greeting, who has taken it) say nothing of the matter and stay."""
        thread_words = [e for e in words_left(await raw_events(house.ben, house.room)) if in_thread(e, thread.card)]
        at_customer = words_left(await raw_events(thread.customer, thread.chat))
        said = [e for e in at_customer if e["sender"] == thread.customer.user_id or e["event_id"] == answer]
        return not thread_words and not said

    await eventually(nothing_is_left, what="the words are gone from both rooms")
    await eventually(lambda: is_gone(house, file), what="the file is gone")
    assert house.product.desk in thread.customer.members(thread.chat), "the person stays a customer"
    await eventually(house.nothing_is_left, what="nothing failed")


async def is_gone(house: House, file: str) -> bool:
    try:
        await house.ben.server.download(file, max_bytes=10_000)
    except MatrixError:
        return True
    return False


async def resolved_long_ago(house: House, thread: Thread) -> None:
    engine = connect(house.product.database_url)
    old = """
    UPDATE conversation SET state = 'resolved', resolution = 'solved', resolved_at = now() - interval '200 days'
    FROM chat WHERE chat.id = conversation.chat_id AND chat.remote = :room"""
    async with engine.begin() as connection:
        await connection.execute(sa.text(old), {"room": thread.chat})
    await engine.dispose()


@pytest.mark.long  # the steps are those of the first test; here is another room, and less power
async def test_a_room_of_its_own_is_emptied_and_what_the_desk_has_no_power_over_is_said(house: House) -> None:
    thread, _ = await a_life(house, "emma", preset="private_chat")
    before = set(house.ben.rooms)
    await thread.say(house.ben, "!room")
    await eventually(lambda: set(house.ben.rooms) - before, what="the case room")
    (own,) = set(house.ben.rooms) - before
    await house.ben.wait_for(own, lambda seen: "This room is for K-" in seen.body)
    await house.ben.say(own, "// between us")
    certificate = house.product.folder / "emma.json"
    code, said = await stellwerk(house, "contact", "erase", thread.customer.user_id, "--yes", "-o", str(certificate))
    assert code == 0, said
    last_word = await house.ben.wait_for(own, lambda seen: "Erased:" in seen.body)
    assert [event["event_id"] for event in words_left(await raw_events(house.ben, own))] == [last_word.event_id]
    places = {(each["place"], each["outcome"]): each for each in json.loads(certificate.read_text())["places"]}
    assert places["case_room_messages", "done"]["count"] > 0
    assert places["customer_room_messages", "impossible"]["count"] > 0
    assert "no right" in places["customer_room_messages", "impossible"]["why"]
    left = words_left(await raw_events(thread.customer, thread.chat))
    assert {event["sender"] for event in left} == {thread.customer.user_id}


@pytest.mark.long  # two starts of the program
async def test_without_a_running_desk_the_command_line_erases_by_itself(house: House) -> None:
    thread, _ = await a_life(house, "fay")
    await house.product.stop()
    certificate = house.product.folder / "fay.json"
    code, said = await stellwerk(house, "contact", "erase", thread.customer.user_id, "--yes", "-o", str(certificate))
    assert code == 0, said
    assert await trace_in_database(house, thread.customer.user_id) == []
    events = await raw_events(house.ben, house.room)
    assert not words_left([event for event in events if in_thread(event, thread.card)])
    await house.product.start()
    assert len(await notices(house, thread)) == 1


def in_thread(event: Mapping[str, Any], card: str) -> bool:
    relation = event["content"].get("m.relates_to", {})
    return card in (event["event_id"], relation.get("event_id"))


async def notices(house: House, thread: Thread) -> list[str]:
    seen = await house.ben.wait_for(house.room, lambda seen: seen.thread == thread.card and "Erased:" in seen.body)
    return [seen.event_id]
