"""Erasing somebody who has written for years, while the desk serves others. On a real Synapse, encrypted.

python -m pytest -m load tests/load/test_erasure_of_many.py -s"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from benchmarks.parts.meter import percentile
from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from messenger.storage.models.rights import erasure
from tests.integration.staff_house import House, Thread, open_house
from tests.integration.test_erasure_on_synapse import admin_token, in_thread, raw_events, stellwerk, words_left
from tests.load.soaking import bare_lanes, bare_sends_per_s
from tests.support.databases import TestDatabases

pytestmark = [pytest.mark.load, pytest.mark.asyncio(loop_scope="module")]

MESSAGES = int(os.environ.get("ERASED", "1000"))
CERTAIN_S = 60.0  # design, goal G10
EVENTS_OF_MESSAGE = 2  # in the chat and in the thread
BESIDE_EVERY_S, PATIENCE_S = 1.0, 600.0
# Each redaction is an event to the homeserver, and others write meanwhile.
SHARE_OF_C = 0.3


@pytest_asyncio.fixture(loop_scope="module")
async def house(tmp_path: Path, synapse: Synapse, test_databases: TestDatabases) -> AsyncIterator[House]:
    token = tmp_path / "admin.token"
    token.write_text(await admin_token(synapse))
    token.chmod(0o400)
    environment = {"STELLWERK__PRIVACY__HOMESERVER_ADMIN_TOKEN_FILE": str(token)}
    async with open_house(tmp_path, synapse, test_databases, staff=("ben",), environment=environment) as opened:
        yield opened


async def test_a_person_of_many_messages_is_erased_within_a_minute_and_cleaned_up_at_the_homeservers_pace(
    house: House, synapse: Synapse
) -> None:
    per_s = await bare_sends_per_s(synapse, await bare_lanes([house.ben]), 5)
    other, thread = await house.conversation(), await house.conversation()
    for number in range(MESSAGES):
        await thread.customer.say(thread.chat, f"message {number:05}")
    await house.ben.wait_for(house.room, lambda seen: f"message {MESSAGES - 1:05}" in seen.body, timeout_s=PATIENCE_S)

    began = time.monotonic()
    ending = asyncio.create_task(stellwerk(house, "contact", "erase", thread.customer.user_id, "--yes"))
    gone = asyncio.create_task(_until_gone(house, began))
    waits = await _beside(house, other, ending)
    code, said = await ending
    took, gone_s = time.monotonic() - began, await gone
    of_thread = [event for event in await raw_events(house.ben, house.room) if in_thread(event, thread.card)]
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    print(
        f"\n{MESSAGES} messages: keys and rows gone after {gone_s:.1f} s, certificate after {took:.0f} s, "
        f"{EVENTS_OF_MESSAGE * MESSAGES / took:.1f} events/s (C {per_s:.1f}); beside it {len(waits)} messages, "
        f"p50 {1000 * p50:.0f} ms, p95 {1000 * p95:.0f} ms; load {os.getloadavg()[0]:.1f}"
    )
    assert code == 0, said
    assert gone_s < CERTAIN_S
    assert len(words_left(of_thread)) <= 1, "the notice that somebody was erased"
    assert took < EVENTS_OF_MESSAGE * MESSAGES / (SHARE_OF_C * per_s)


async def _until_gone(house: House, began: float) -> float:
    """Until the person's key is destroyed and their rows are deleted: what is left are redactions."""
    engine = connect(house.product.database_url)
    first = ("block", "plan", "ledger", "key", "rows")
    try:
        while True:
            async with engine.begin() as connection:
                steps = list(await connection.scalars(sa.select(erasure.c.step)))
            if steps and not set(steps) & set(first):
                return time.monotonic() - began
            await asyncio.sleep(0.1)
    finally:
        await engine.dispose()


async def _beside(house: House, thread: Thread, ending: "asyncio.Task[Any]") -> list[float]:
    """How long somebody else's messages take meanwhile."""
    waits: list[float] = []
    while not ending.done():
        words, began = f"beside {len(waits)}.", time.monotonic()
        await thread.customer.say(thread.chat, words)
        await thread.told(house.ben, words)
        waits.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, BESIDE_EVERY_S - waits[-1]))
    return waits
