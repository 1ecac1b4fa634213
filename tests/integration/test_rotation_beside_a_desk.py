"""`stellwerk keys rotate` as operators run it: beside a desk that serves, broken off by a kill, and run again."""

import asyncio
import json
import signal
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from messenger.storage.root_keys import next_file
from tests.support.people import People, Person
from tests.support.product import Product
from tests.support.warm import run_warm


@dataclass
class Talk:
    """A customer and the agent who has their conversation. `said`: all the customer's words."""

    customer: Person
    chat: str
    agent: Person
    room: str
    card: str
    said: list[str]

    async def goes_on(self, when: str) -> None:
        for _ in range(2):
            self.said.append(f"question {len(self.said)}: {when}.")
            await self.customer.say(self.chat, self.said[-1])
        await self.agent.wait_for(self.room, lambda seen: self.said[-1] in seen.body)
        await self.agent.say(self.room, f"answer {when}", thread=self.card)
        await self.customer.wait_for(self.chat, lambda seen: f"answer {when}" in seen.body)


async def _begun(product: Product, people: People, agent: Person, name: str) -> Talk:
    customer, room = await people.person(name), await product.group_room("General")
    chat = await customer.start_direct_chat(product.desk)
    await customer.say(chat, f"hello of {name}.")
    shown = await agent.wait_for(room, lambda seen: f"hello of {name}." in seen.body and seen.thread is not None)
    await agent.react(room, str(shown.thread), "👀")
    return Talk(customer, chat, agent, room, str(shown.thread), [f"hello of {name}."])


async def _stellwerk(product: Product, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    return await run_warm("messenger.cli", "--config", str(product.settings_file), *words, env=env, cwd=product.folder)


async def test_a_rotation_beside_a_serving_desk_that_is_killed_and_run_again_stops_nobody(
    product: Product, people: People
) -> None:
    ben = await people.person("ben")
    await product.add_group("General", [(ben.user_id, "Ben Li", "agent")], default=True)
    await product.start()
    await ben.wait_for_members(await product.group_room("General"), [ben.user_id])
    anna = await _begun(product, people, ben, "anna")
    await anna.goes_on("before")
    file = product.settings.security.root_key_file
    old = file.read_bytes()

    code, said = await _stellwerk(product, "keys", "rotate", env={"STELLWERK_FAILPOINT": "rewrap_batch:1"})
    assert code == -signal.SIGKILL, said
    assert next_file(file).exists() and file.read_bytes() == old
    bert = await _begun(product, people, ben, "bert")  # with a key of their own, made half way
    await asyncio.gather(anna.goes_on("half way"), bert.goes_on("half way"))

    (code, said), *_ = await asyncio.gather(
        _stellwerk(product, "keys", "rotate"), anna.goes_on("meanwhile"), bert.goes_on("meanwhile")
    )
    assert code == 0, said
    assert not next_file(file).exists() and file.read_bytes() != old
    [kept] = file.parent.glob(f"{file.name}.*.old")
    assert kept.read_bytes() == old
    kept.unlink()
    await anna.goes_on("without the old one")
    await product.stop()
    await product.start()
    await asyncio.gather(anna.goes_on("started anew"), bert.goes_on("started anew"))

    for talk in (anna, bert):
        relayed = [seen.body for seen in ben.messages(talk.room, thread=talk.card, sender=product.desk)]
        assert [sum(words in body for body in relayed) for words in talk.said] == [1] * len(talk.said)
    assert await _exported(product, anna.customer) == anna.said, "what was sealed under the old key opens"
    failures = [line for line in product.log_text().splitlines() if '"level": "error"' in line]
    assert failures == []


async def _exported(product: Product, person: Person) -> list[str]:
    """The person's own words, as their archive has them."""
    archive = product.folder / "archive.zip"
    code, said = await _stellwerk(product, "contact", "export", person.user_id, "-o", str(archive))
    assert code == 0, said
    with zipfile.ZipFile(archive) as opened:
        [only] = json.loads(opened.read("data.json"))["conversations"]
    return [message["text"] for message in only["messages"] if message["author"] == "person"]
