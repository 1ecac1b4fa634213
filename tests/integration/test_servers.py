"""The servers that tests and the demonstration start themselves, and the people on them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.demo.child import Child, ChildFailed
from messenger.demo.synapse import Synapse, SynapseError
from messenger.matrix.http import CLIENT, MatrixError, path
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.models import whole_schema
from tests.support.homeservers import fresh_homeserver
from tests.support.people import People, Person
from tests.support.waiting import eventually, settled


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_every_test_gets_a_database_with_the_whole_schema(database: AsyncEngine) -> None:
    async with database.connect() as connection:
        found = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    assert set(found) >= {table.name for table in whole_schema().sorted_tables}


async def test_an_empty_database_has_no_tables(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    async with engine.connect() as connection:
        count = await connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    await engine.dispose()
    assert count == 0


async def test_postgres_keeps_what_was_committed_when_it_crashes(own_postgres: EmbeddedPostgres) -> None:
    await own_postgres.execute("CREATE TABLE kept (word text)")
    await own_postgres.execute("INSERT INTO kept VALUES ('here')")
    await own_postgres.crash()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await own_postgres.execute("SELECT 1")
    await own_postgres.start()
    with pytest.raises(asyncpg.DuplicateTableError):
        await own_postgres.execute("CREATE TABLE kept (word text)")


async def test_postgres_is_stopped_only_by_its_last_user(own_postgres: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(own_postgres.folder)
    await other.start()
    await other.stop()
    assert "postgres" in await own_postgres.databases()
    await own_postgres.stop()
    with pytest.raises(OSError):
        await own_postgres.databases()


async def test_postgres_stops_although_a_folder_above_it_was_closed(own_postgres: EmbeddedPostgres) -> None:
    """As pytest does with the folder of all its sessions when another one starts; the server of root is not root."""
    own_postgres.folder.parent.chmod(0o700)
    await own_postgres.crash()
    await own_postgres.start()
    own_postgres.folder.parent.chmod(0o700)
    await own_postgres.stop()
    with pytest.raises(OSError):
        await own_postgres.databases()


async def test_a_killed_process_does_not_keep_postgres_running(own_postgres: EmbeddedPostgres) -> None:
    program = (
        "import asyncio, sys, time, pathlib\nfrom messenger.storage.embedded import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))\nasyncio.run(server.start())\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(own_postgres.folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    await own_postgres.stop()
    await own_postgres.start()  # the other user kept the server up; we are one of two again
    process.kill()
    process.wait()
    process.stdout.close()
    await own_postgres.stop()
    with pytest.raises(OSError):
        await own_postgres.databases()


async def test_a_child_that_ends_early_says_why(tmp_path: Path) -> None:
    child = Child(
        "early", [sys.executable, "-c", "print('no licence'); raise SystemExit(3)"], log=tmp_path / "child.log"
    )
    child.start()
    with pytest.raises(ChildFailed, match="ended with 3"):
        await child.wait_healthy(_never)
    assert "no licence" in child.log_tail()


async def test_a_child_that_ignores_the_polite_request_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = Child("deaf", [sys.executable, "-c", program], log=tmp_path / "child.log")
    child.start()
    await eventually(lambda: "deaf" in child.log_tail())
    await child.stop(grace_s=0.3)
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\nfrom messenger.demo.child import Child\n"
        "child = Child('c', [sys.executable, '-c', 'import time; time.sleep(60)'], log=pathlib.Path(sys.argv[1]))\n"
        "child.start()\nprint(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "c.log")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    await eventually(lambda: not is_alive(pid))


async def test_synapse_keeps_its_users_over_a_kill(own_synapse: Synapse) -> None:
    account = await own_synapse.register("keeper", displayname="Keeper")
    assert account.user_id == "@keeper:test.localhost"
    url = own_synapse.url
    own_synapse.kill9()
    assert not await own_synapse.is_healthy()
    await own_synapse.start()
    assert own_synapse.url == url
    assert await own_synapse.is_registered("keeper")
    assert not await own_synapse.is_registered("nobody")
    with pytest.raises(SynapseError):
        await own_synapse.register("keeper")


@pytest.fixture
def limited_synapse(tmp_path: Path) -> Synapse:
    return fresh_homeserver(tmp_path / "synapse", default_limits=True)


async def test_default_limits_hold_a_fast_sender_back(limited_synapse: Synapse) -> None:
    await limited_synapse.start()
    people = People(limited_synapse)
    anna = await people.person("anna")
    room = await anna.create_room()
    with pytest.raises(MatrixError) as limited:
        await _send_fast(anna, room, 30)
    assert limited.value.status == 429
    assert limited.value.retry_after
    await people.leave()
    await limited_synapse.stop()


async def test_the_secrets_of_synapse_are_private(synapse: Synapse) -> None:
    modes = {file.name: file.stat().st_mode & 0o077 for file in synapse.folder.glob("*.secret")}
    assert set(modes) == {"registration.secret", "macaroon.secret", "form.secret"}
    assert set(modes.values()) == {0} and (synapse.folder / "homeserver.yaml").stat().st_mode & 0o077 == 0


async def test_two_people_talk_in_an_encrypted_room(people: People) -> None:
    anna, bert = await people.person("anna"), await people.person("bert")
    room = await anna.start_direct_chat(bert.user_id)
    root = await anna.say(room, "Good morning")
    heard = await bert.wait_for_text(room, "Good morning")
    assert heard.was_encrypted and heard.event_id == root and heard.sender == anna.user_id
    await bert.say(room, "in the thread", thread=root)
    answer = await anna.wait_for_text(room, "in the thread")
    assert answer.thread == root


async def test_edits_reactions_redactions_and_files_arrive(people: People) -> None:
    anna, bert = await people.person("anna"), await people.person("bert")
    room = await anna.start_direct_chat(bert.user_id)
    first = await anna.say(room, "frist")
    await anna.edit(room, first, "first")
    await bert.wait_for_text(room, "first")
    assert bert.latest_text(room, first) == "first"
    reaction = await bert.react(room, first, "👍")
    await eventually(lambda: [seen.key for seen in anna.reactions(room)] == ["👍"])
    await bert.redact(room, reaction)
    await eventually(lambda: anna.reactions(room) == [])
    await anna.send_file(room, b"%PDF-1.7 ...", name="letter.pdf", mimetype="application/pdf")
    file = await bert.wait_for(room, lambda event: event.msgtype == "m.file")
    assert await bert.download(file) == b"%PDF-1.7 ..." and "file" in file.content


async def test_reading_back_finds_every_message_in_order(people: People) -> None:
    anna, bert = await people.person("anna"), await people.person("bert")
    room = await anna.start_direct_chat(bert.user_id)
    for number in range(120):
        await anna.say(room, f"line {number}")
    await eventually(lambda: len(bert.messages(room)) == 120, progress=lambda: len(bert.messages(room)))
    lines = [f"line {number}" for number in range(120)]
    assert [message.body for message in bert.messages(room)] == lines
    back = await bert.read_back(room)
    assert [event.body for event in back if event.type == "m.room.message"] == lines


async def test_a_removed_person_cannot_read_on(people: People) -> None:
    anna, bert = await people.person("anna"), await people.person("bert")
    room = await anna.create_room(invite=[bert.user_id], wait_until_joined=True)
    await anna.say(room, "before")
    await bert.wait_for_text(room, "before")
    before = anna.device.room_key(room)["session_id"]
    await anna.kick(room, bert.user_id)
    await eventually(lambda: bert.user_id not in anna.members(room))
    await anna.say(room, "after")
    assert anna.device.room_key(room)["session_id"] != before


async def test_sends_survive_a_killed_homeserver(own_synapse: Synapse) -> None:
    people = People(own_synapse)
    anna, bert = await people.person("anna"), await people.person("bert")
    room = await anna.start_direct_chat(bert.user_id)
    sending = asyncio.create_task(_say_numbers(anna, room, 20))
    await eventually(lambda: len(bert.messages(room)) >= 5)
    own_synapse.kill9()
    await own_synapse.start()
    await sending
    await settled(lambda: len(bert.messages(room)), quiet_s=1)
    assert [message.body for message in bert.messages(room)] == [str(number) for number in range(20)]
    await people.leave()


async def _say_numbers(person: Person, room: str, count: int) -> None:
    for number in range(count):
        await person.say(room, str(number))


async def _send_fast(person: Person, room: str, count: int) -> None:
    for number in range(count):
        url = f"{CLIENT}/rooms/{path(room, 'send', 'm.room.message', str(number))}"
        await person.server.call("PUT", url, {"msgtype": "m.text", "body": "x"})


async def _never() -> bool:
    return False
