"""Bodies, file names and customers' names are nowhere in clear, in no encoding: not in the databases' files, their logs
of writes or their dumps, not in the homeserver's store, not in any log, not in what failures leave behind."""

import asyncio
import base64
import contextlib
import json
import mmap
import os
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from messenger.bootstrap.audit import check_audit
from messenger.demo.child import free_port
from messenger.demo.synapse import Synapse
from messenger.storage.embedded import SUPERUSER, EmbeddedPostgres
from tests.support.databases import key_database_of
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually
from tests.support.warm import run_warm

PDF = b"%PDF-1.4\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
SAID, NAME = "Quarzmarke", "Namensquarz"


@pytest.fixture
async def watched(tmp_path: Path, own_synapse: Synapse, own_postgres: EmbeddedPostgres) -> AsyncIterator[Product]:
    await own_postgres.create_database("stellwerk")
    product = await Product.install(tmp_path / "stellwerk", own_synapse, own_postgres.uri("stellwerk"))
    yield product
    await product.stop()


@pytest.mark.parametrize("count", [pytest.param(20, id="20"), pytest.param(1000, id="1000", marks=pytest.mark.long)])
async def test_no_marker_is_found_anywhere_in_any_form(
    watched: Product, own_synapse: Synapse, own_postgres: EmbeddedPostgres, tmp_path: Path, count: int
) -> None:
    people = People(own_synapse)
    agent = await people.person("ben")
    customers = [await people.person(f"anna{n}", displayname=f"{NAME} {n}") for n in range(max(2, count // 50))]
    customer = customers[0]
    await watched.add_group("General", [(agent.user_id, "Ben Li", "agent")], default=True)
    listens = f"127.0.0.1:{free_port()}"
    await watched.start(environment={"STELLWERK__LOG__LEVEL": "debug", "STELLWERK__WEB__METRICS_LISTEN": listens})
    room = await watched.group_room("General")
    chat = await customer.start_direct_chat(watched.desk)
    chats = [chat, *[await each.start_direct_chat(watched.desk) for each in customers[1:]]]
    for n in range(count):
        await customers[n % len(customers)].say(chats[n % len(customers)], f"{SAID} {n}")
    for n in range(count // 5):
        sender, its_chat = customers[-1 - n % len(customers)], chats[-1 - n % len(customers)]
        await sender.send_file(its_chat, PDF, name=f"{SAID}-{n}.pdf", mimetype="application/pdf")
    for n in range(count - len(customers), count):
        await agent.wait_for(room, lambda seen, n=n: seen.body.endswith(f"{SAID} {n}"), timeout_s=600)
    last = await agent.wait_for(
        room, lambda seen: f"{SAID}-{count // 5 - 1}.pdf" in seen.body and seen.thread is not None, timeout_s=600
    )
    await agent.react(room, str(last.thread), "👀")
    await agent.say(room, f"// {SAID} note", thread=last.thread)
    await agent.say(room, f"!tag {SAID}", thread=last.thread)
    await agent.say(room, f"{SAID} answer", thread=last.thread)
    await customer.wait_for(chat, lambda seen: f"{SAID} answer" in seen.body)
    await _failures(watched, lambda: customer.say(chat, f"{SAID} in the middle of a failure"))
    await agent.wait_for(room, lambda seen: "failure" in seen.body, timeout_s=120)
    rooms = set(agent.rooms)
    await agent.say(room, "!room", thread=last.thread)
    await eventually(lambda: set(agent.rooms) - rooms, 120, what="the conversation has a room of its own")
    await people.leave()
    await _keep_what_is_shown(f"http://{listens}", tmp_path)
    await _dump(own_postgres, tmp_path)
    await watched.stop()
    log = (await check_audit(watched.settings)).verdict
    assert log.is_whole and log.witnessed == log.rows > 0, "the stop has left a checkpoint of all rows"
    await watched.start()
    await _abort(watched)
    await own_postgres.execute("CHECKPOINT")

    told = watched.log_text()
    assert "inbox row failed" in told and "DBAPIError" in told, "there was a failure to tell"
    found = list(_files_with(tmp_path, NAME))
    # The homeserver knows the display name: the customer published it there. It is none of our data.
    named = {person.user_id for person in customers}
    assert list(_not_of_themselves(own_synapse.folder / "homeserver.db", named)) == []
    assert found, "the search finds what is there"
    assert [file for file in found if "synapse" not in str(file)] == []
    assert list(_files_with(tmp_path, SAID)) == []
    assert not list(tmp_path.rglob("core*")), "no image of the process"


async def _keep_what_is_shown(address: str, folder: Path) -> None:
    """What those who run the service can ask for, as files beside the others."""
    async with aiohttp.ClientSession() as session:
        for page in ("metrics", "readyz", "livez"):
            async with session.get(f"{address}/{page}") as answer:
                (folder / f"{page}.txt").write_text(await answer.text())
    assert "stellwerk_" in (folder / "metrics.txt").read_text(), "there are metrics to look through"


async def _failures(product: Product, cause: Callable[[], Awaitable[object]]) -> None:
    """A table is away for a moment: what comes in meanwhile fails with its words in hand; then verbs fail, too."""
    async with _without(product, "message"):
        await cause()
        await eventually(lambda: "inbox row failed" in product.log_text(), 120)
    await _verb(product, "conversation", "show", "K-0000")
    async with _without(product, "contact"):
        await _verb(product, "contact", "show", "@x:y")


@asynccontextmanager
async def _without(product: Product, table: str) -> AsyncIterator[None]:
    engine = create_async_engine(product.database_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_away")
        try:
            yield
        finally:
            await connection.exec_driver_sql(f"ALTER TABLE {table}_away RENAME TO {table}")
    await engine.dispose()


async def _verb(product: Product, *verb: str) -> None:
    code, said = await run_warm("messenger.cli", "--config", str(product.settings_file), *verb)
    assert code == 1
    (product.folder / f"verb-{'-'.join(verb[:2])}.txt").write_text(said)


async def _dump(postgres: EmbeddedPostgres, folder: Path) -> None:
    program = postgres._programs / "pg_dump"
    for name in ("stellwerk", str(key_database_of(postgres.uri("stellwerk")).rpartition("/")[2].partition("?")[0])):
        command = [str(program), "-h", str(postgres.socket_folder), "-U", SUPERUSER, "--inserts", name]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        assert b"CREATE TABLE" in done.stdout
        (folder / f"{name}.sql").write_bytes(done.stdout)


async def _abort(product: Product) -> None:
    """As a crash in native code would: without a chance to tidy up, and with a core file where that is allowed."""
    os.kill(product.pid, signal.SIGABRT)
    await product.wait_until_ended()


def _not_of_themselves(database: Path, customers: set[str]) -> Iterator[str]:
    """Events in the homeserver's store with a customer's name that are not that customer's own membership."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        events = [json.loads(text) for (text,) in store.execute("SELECT json FROM event_json")]
    for event in events:
        if event["sender"] in customers:  # whom they invite the homeserver shows who they are
            event.get("unsigned", {}).pop("invite_room_state", None)
    named = [event for event in events if NAME in json.dumps(event, ensure_ascii=False)]
    assert {event["sender"] for event in named} == customers, "each has a name of their own, and it is found"
    for event in named:
        is_own = event["type"] == "m.room.member" and event["state_key"] == event["sender"] in customers
        without = {**event, "content": {**event["content"], "displayname": ""}}
        if not is_own or NAME in json.dumps(without, ensure_ascii=False):
            yield f"{event['type']} in {event['room_id']}"


def _forms(marker: str) -> Iterator[bytes]:
    """As it is, in wide characters, as digits, and as base64 at each of the three offsets in what is around it."""
    text = marker.encode()
    yield from (text, marker.encode("utf-16-le"), marker.encode("utf-16-be"), text.hex().encode())
    yield text.hex().upper().encode()
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + text + bytes(-(offset + len(text)) % 3))
        yield coded[-(-offset * 4 // 3) : (offset + len(text)) * 4 // 3]


def _files_with(folder: Path, marker: str) -> Iterator[Path]:
    """Byte for byte, in everything below the folder."""
    forms = list(_forms(marker))
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size:
            with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if any(content.find(form) >= 0 for form in forms):
                    yield file


def test_the_search_sees_each_form(tmp_path: Path) -> None:
    around = f'{{"body":"x{SAID} 7"}}'
    forms = [
        around.encode(),
        around.encode("utf-16-le"),
        around.encode("utf-16-be"),
        around.encode().hex().encode(),
        *(base64.b64encode(b"-" * n + around.encode()) for n in range(3)),
    ]
    for n, form in enumerate(forms):
        (tmp_path / str(n)).write_bytes(b"\0" + form)
    assert len(list(_files_with(tmp_path, SAID))) == len(forms)
    assert list(_files_with(tmp_path, NAME)) == []


def test_a_name_in_the_state_of_a_room_of_the_staff_is_seen(tmp_path: Path) -> None:
    named = {"membership": "join", "displayname": f"{NAME} 1"}
    own = {"type": "m.room.member", "room_id": "!chat", "sender": "@anna:x", "state_key": "@anna:x", "content": named}
    told = [
        {**own, "room_id": "!group", "type": "m.room.name", "state_key": "", "content": {"name": f"{NAME} 1"}},
        {**own, "room_id": "!case", "state_key": "@desk:x"},
        {**own, "room_id": "!reason", "content": {**named, "reason": f"for {NAME}"}},
    ]
    for name, events, found in (
        ("good", [own], []),
        ("bad", [own, *told], ["m.room.name in !group", "m.room.member in !case", "m.room.member in !reason"]),
    ):
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as store:
            store.execute("CREATE TABLE event_json (json TEXT)")
            store.executemany("INSERT INTO event_json VALUES (?)", [(json.dumps(event),) for event in events])
            store.commit()
        assert list(_not_of_themselves(tmp_path / name, {"@anna:x"})) == found
