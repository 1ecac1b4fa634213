"""Fixtures for tests with Element's engine as judge."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from messenger.demo.synapse import Registered, Synapse
from tests.interop.node import NoNode, find_node, oracle_folder
from tests.interop.oracle import Element, Oracle
from tests.support.absent import absent

StartElement = Callable[..., Awaitable[Element]]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """Node and the oracle's packages. A machine without them skips these tests; the project's own checks (CI=true)
    fail."""
    try:
        node = find_node()
        return Oracle(node, oracle_folder(node))
    except NoNode as reason:
        absent(f"Element's engine cannot run: {reason}")


@pytest.fixture
async def element(oracle: Oracle, synapse: Synapse) -> AsyncIterator[StartElement]:
    """Starts devices, `anna = await element(account, isolation="signed")`, and ends them after the test."""
    running: list[Element] = []

    async def start(account: Registered, **options: Any) -> Element:
        running.append(await Element.start(oracle, synapse.url, account.user_id, account.password, **options))
        return running[-1]

    yield start
    for each in running:
        await each.stop()
