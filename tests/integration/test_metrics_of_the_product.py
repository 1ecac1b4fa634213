"""The product at work, asked by those who run it: nothing of what people are, say or write with is in the numbers or in
the log."""

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import Mapping

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from messenger.bootstrap.sampling import name_what_may_be_seen
from messenger.demo.child import free_port
from messenger.observability import metrics
from messenger.observability.logging import ALLOWED_KEYS
from tests.support.people import People
from tests.support.product import Product
from tests.support.waiting import eventually

SAID, FILE, GROUP = "Quarzmarke", "Quarzdatei", "General"
COUNTED = {
    ("stellwerk_messages_total", "matrix,in"): 2,
    ("stellwerk_messages_total", "matrix,out"): 1,
    ("stellwerk_messages_total", "matrix,internal"): 1,
    ("stellwerk_conversations_opened_total", f"matrix,{GROUP}"): 1,
    ("stellwerk_conversations_resolved_total", f"{GROUP},solved"): 1,
    ("stellwerk_first_response_seconds_count", f"matrix,{GROUP}"): 1,
    ("stellwerk_message_delivery_seconds_count", "matrix"): 3,
    ("stellwerk_matrix_requests_total", "200,send"): 4,
    ("stellwerk_sync_duration_seconds_count", "1"): 2,
    ("stellwerk_one_time_keys", "1"): 20,
    ("stellwerk_agents", f"{GROUP},available"): 1,
}


class Watch:
    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session, self._address = session, f"http://127.0.0.1:{port}"

    async def ask(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._address + path) as answer:
            return answer.status, await answer.text()

    async def values(self) -> Mapping[tuple[str, str], float]:
        _, page = await self.ask("/metrics")
        families = text_string_to_metric_families(page)
        return {
            (each.name, ",".join(each.labels[name] for name in sorted(each.labels))): each.value
            for one in families
            for each in one.samples
        }


def _strange(page: str, settings_groups: set[str]) -> set[tuple[str, str, str]]:
    """(metric, label, value) of what is on no list."""
    allowed = {name.removesuffix("_total"): family.labels for name, family in metrics.FAMILIES.items()}
    found = set()
    for family in text_string_to_metric_families(page):
        for each in family.samples:
            for label, shown in each.labels.items():
                words = set() if label == "le" else set(allowed[family.name][label].words)
                words |= settings_groups if label == "group" else set()
                if shown not in words | {"other"} and not (label == "le" and float(shown)):
                    found.add((family.name, label, shown))
    return found


async def test_a_day_of_the_product_in_numbers_and_lines(product: Product, people: People) -> None:
    name_what_may_be_seen(product.settings)
    ben, anna = await people.person("ben"), await people.person("anna", displayname="Quarzname Krüger")
    await product.add_group(GROUP, [(ben.user_id, "Ben Quarzli", "agent")], default=True)
    port = free_port()
    listen = {"STELLWERK__WEB__METRICS_LISTEN": f"127.0.0.1:{port}", "STELLWERK__LOG__LEVEL": "debug"}
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"stellwerk-{secrets.token_hex(8)}"
    manager.bind(f"\0{name}")  # an abstract address: paths of tests are too long for a socket's
    words: list[bytes] = []
    asyncio.get_running_loop().add_reader(manager, lambda: words.append(manager.recv(100)))
    told = {"NOTIFY_SOCKET": f"@{name}", "STELLWERK__LOG__FORMAT": "json"}
    await product.start(environment={**listen, **told})
    async with aiohttp.ClientSession() as session:
        watch = Watch(session, port)
        assert (await watch.ask("/livez"))[0] == (await watch.ask("/startupz"))[0] == 200

        async def is_ready() -> bool:
            return (await watch.ask("/readyz"))[0] == 200

        await eventually(is_ready, what="ready")
        room = await product.group_room(GROUP)
        chat = await anna.start_direct_chat(product.desk)
        await ben.wait_for_members(room, [ben.user_id])
        await anna.say(chat, f"{SAID} asks")
        await anna.send_file(chat, b"%PDF-1.4\n%%EOF\n", name=f"{FILE}.pdf", mimetype="application/pdf")
        card = await ben.wait_for(room, lambda seen: seen.thread is not None and FILE in seen.body)
        await ben.react(room, str(card.thread), "👀")
        await ben.say(room, f"// {SAID} notes", thread=card.thread)
        await ben.say(room, f"{SAID} answers", thread=card.thread)
        await anna.wait_for(chat, lambda seen: f"{SAID} answers" in seen.body)
        await ben.say(room, "!resolve", thread=card.thread)

        async def missing() -> list[tuple[str, str]]:
            seen = await watch.values()
            return [each for each, least in COUNTED.items() if seen.get(each, 0) < least]

        async def all_is_counted() -> bool:
            assert await missing() == []
            return True

        await eventually(all_is_counted, what="everything is counted", timeout_s=60)
        _, page = await watch.ask("/metrics")
        _, ready = await watch.ask("/readyz")
    os.kill(product.pid, signal.SIGTERM)
    assert await product.wait_until_ended() == 0
    asyncio.get_running_loop().remove_reader(manager)
    manager.close()
    assert words.index(b"READY=1") < words.index(b"WATCHDOG=1", words.index(b"READY=1")) < words.index(b"STOPPING=1")
    assert _strange(page, {GROUP}) == set()
    log = product.log_text()
    for secret in (SAID, FILE, "Quarzname", "Quarzli", "Krüger", _password(product)):
        assert secret not in page + ready + log, secret
    for id in (ben.user_id, anna.user_id, product.desk, room, chat, card.event_id):
        assert id not in page + ready, id
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert lines and all(set(line) <= ALLOWED_KEYS for line in lines)


def _password(product: Product) -> str:
    return (product.folder / "desk.password").read_text()


async def test_a_standby_lives_and_says_that_it_is_not_the_one(product: Product, people: People) -> None:
    await product.add_group(GROUP, [], default=True)
    await product.start()
    second = Product(product.folder, "", product.desk, product.database_url)
    port = free_port()
    async with aiohttp.ClientSession() as session:
        await second.start(environment={"STELLWERK__WEB__METRICS_LISTEN": f"127.0.0.1:{port}"}, wait=False)
        watch = Watch(session, port)

        async def stands_by() -> bool:
            try:
                status, told = await watch.ask("/readyz")
            except aiohttp.ClientError:
                return False
            return status == 503 and '"lease": "standby"' in told and '"database": "ok"' in told

        await eventually(stands_by, what="the standby says so")
        assert (await watch.ask("/livez"))[0] == 200
        assert (await watch.ask("/startupz"))[0] == 503
    await second.stop()
