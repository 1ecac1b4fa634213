"""The program of this version on the schema of the next one: migrated while it serves, started on it, taken back."""

import asyncio
from pathlib import Path

from messenger.storage.database import connect
from tests.support.next_version import CONTRACT, NextVersion
from tests.support.people import People
from tests.support.product import Product


async def test_the_program_serves_while_the_schema_goes_ahead_and_back(
    product: Product, people: People, tmp_path: Path
) -> None:
    ben, anna = await people.person("ben"), await people.person("anna")
    await product.add_group("General", [(ben.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    room = await product.group_room("General")
    chat = await anna.start_direct_chat(product.desk)
    await ben.wait_for_members(room, [ben.user_id])
    engine, next_version = connect(product.database_url), NextVersion.write(tmp_path / "next")
    said = 0

    async def goes_through(when: str) -> None:
        nonlocal said
        for _ in range(3):
            said += 1
            await anna.say(chat, f"message {said}: {when}")
        seen = await ben.wait_for(room, lambda seen: f"message {said}:" in seen.body and seen.thread is not None)
        await ben.say(room, f"answer {said}", thread=seen.thread)
        await anna.wait_for(chat, lambda seen: f"answer {said}" in seen.body)

    await anna.say(chat, "message 0: to begin with")
    card = await ben.wait_for(room, lambda seen: "message 0:" in seen.body and seen.thread is not None)
    await ben.react(room, str(card.thread), "👀")
    await goes_through("before")
    await asyncio.gather(next_version.up(engine), goes_through("while it is migrated"))
    await product.stop()
    await product.start()
    await goes_through("started on the next schema")
    await asyncio.gather(next_version.down(engine), goes_through("while that is taken back"))

    relayed = [seen.body for seen in ben.messages(room, thread=card.thread, sender=product.desk)]
    for n in range(said + 1):
        assert sum(f"message {n}:" in body for body in relayed) == 1, n
    failures = [line for line in product.log_text().splitlines() if '"level": "error"' in line]
    assert failures == []
    await engine.dispose()


async def test_a_program_that_is_too_old_says_so_and_does_not_start(product: Product, tmp_path: Path) -> None:
    engine = connect(product.database_url)
    await NextVersion.write(tmp_path / "next", steps=CONTRACT, phase="contract").up(engine)
    await product.start(wait=False)
    assert await product.wait_until_ended() == 1
    assert "install the newer version" in product.log_text()
    await engine.dispose()
