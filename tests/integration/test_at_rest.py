"""Bodies, file names and customers' names are nowhere in clear: not in the database's files or its log of writes, not
in the homeserver's store, not in any log."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.bootstrap.audit import check_audit
from messenger.demo.synapse import Synapse
from messenger.storage.embedded import EmbeddedPostgres
from tests.support.people import People
from tests.support.product import Product

PDF = b"%PDF-1.4\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"


@pytest.fixture
async def watched(tmp_path: Path, own_synapse: Synapse, own_postgres: EmbeddedPostgres) -> AsyncIterator[Product]:
    await own_postgres.create_database("stellwerk")
    product = await Product.install(tmp_path / "stellwerk", own_synapse, own_postgres.uri("stellwerk"))
    yield product
    await product.stop()


async def test_no_marker_is_found_in_any_file(
    watched: Product, own_synapse: Synapse, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    people = People(own_synapse)
    agent = await people.person("ben")
    customer = await people.person("anna", displayname="Quarzname Krüger")
    await watched.add_group("General", [(agent.user_id, "Ben Li", "agent")], default=True)
    await watched.start()
    room = await watched.group_room("General")
    chat = await customer.start_direct_chat(watched.desk)
    for n in range(20):
        await customer.say(chat, f"Quarzmarke {n}")
    await customer.send_file(chat, PDF, name="quarzdatei.pdf", mimetype="application/pdf")
    last = await agent.wait_for(room, lambda seen: "quarzdatei.pdf" in seen.body and seen.thread is not None)
    await agent.react(room, str(last.thread), "👀")
    await agent.say(room, "// Quarznotiz", thread=last.thread)
    await agent.say(room, "Quarzantwort", thread=last.thread)
    await customer.wait_for(chat, lambda seen: "Quarzantwort" in seen.body)
    await people.leave()
    await watched.stop()
    log = (await check_audit(watched.settings)).verdict
    assert log.is_whole and log.witnessed == log.rows > 0, "the stop has left a checkpoint of all rows"
    await own_postgres.execute("CHECKPOINT")

    found = _files_with(tmp_path, "Quarzmarke", "quarzdatei", "Quarznotiz", "Quarzantwort", "Quarzname")
    # The homeserver knows the display name: the customer published it there. It is none of our data.
    assert found, "the search finds what is there"
    assert [file for file in found if "synapse" not in file] == []
    assert _files_with(tmp_path, "Quarzmarke", "quarzdatei", "Quarznotiz", "Quarzantwort") == []


def _files_with(folder: Path, *markers: str) -> list[str]:
    """Byte for byte, in everything below the folder."""
    patterns = [argument for marker in markers for argument in ("-e", marker)]
    done = subprocess.run(["grep", "-rlaiF", *patterns, str(folder)], capture_output=True, text=True, check=False)
    return done.stdout.split()
