"""How long an export of many messages takes, and the database's part of an erasure. `python -m
benchmarks.persons_rights [MESSAGES]` makes databases of its own; no homeserver takes part."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from messenger.app.records import StoredBody
from messenger.bootstrap.erasures import at_home, erasure_hands
from messenger.channels.messages import Content
from messenger.storage import migration
from messenger.storage.codec import dump
from messenger.storage.database import connect
from messenger.storage.embedded import EmbeddedPostgres
from messenger.storage.messages import key_of_conversation
from messenger.storage.models.conversations import message
from tests.integration.rights_house import BEN, RightsHouse, open_rights_house, settings_for
from tests.integration.staff_desk import CUSTOMER

TEXT = "A message of usual length, with a question in it and a few words more, so that it looks like what people say. "


async def fill(house: RightsHouse, count: int) -> None:
    await house.desk.set_up([BEN])
    [id] = await house.desk.conversations()
    async with house.engine.begin() as connection:
        key = await key_of_conversation(connection, house.storage.keys, id)
        rows = []
        for n in range(count):
            new = uuid4()
            body = dump(StoredBody(content=Content(text=f"{TEXT} {n}")))
            sealed = key.seal(body, where=f"message|enc_body|{id}|{new}")
            rows.append({"id": new, "conversation_id": id, "type": "m.text", "enc_body": sealed})
        await connection.execute(message.insert().values(at=sa.func.now()), rows)


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = EmbeddedPostgres(folder / "postgres")
        await server.start()
        try:
            url = await server.create_database("bench")
            engine = connect(url)
            await migration.upgrade(engine)
            await engine.dispose()
            async with open_rights_house(settings_for(folder / "house", url)) as house:
                await measure(house, folder, count)
        finally:
            await server.stop()


async def measure(house: RightsHouse, folder: Path, count: int) -> None:
    await fill(house, count)
    began = time.perf_counter()
    made = await house.rights.export(CUSTOMER, "bench", folder / "export.zip")
    exported = time.perf_counter() - began
    print(f"export of {made.messages} messages: {exported:.1f} s, {made.bytes / 1e6:.1f} MB")
    began = time.perf_counter()
    id = await house.rights.erase(CUSTOMER, "bench")
    hands = erasure_hands(house.storage, house.settings, house.settings.desk(), rooms=None)
    await at_home(house.storage, hands, id)
    print(f"erasure of {made.messages} messages, up to the homeserver: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
