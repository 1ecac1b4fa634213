"""`stellwerk doctor` against a real homeserver: it tells a limited account from an unlimited one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.cli.doctor.account import is_limited
from messenger.cli.doctor.homeserver import homeserver
from messenger.demo.synapse import Synapse
from messenger.matrix.http import CLIENT, HomeserverClient
from tests.support.warm import WarmChild


@pytest.fixture
async def strict_synapse(tmp_path: Path) -> AsyncIterator[Synapse]:
    """With Synapse's own rate limits."""
    server = Synapse(tmp_path / "synapse", server_name="strict.localhost", default_limits=True, child=WarmChild)
    await server.start()
    yield server
    await server.stop()


async def logged_in(server: Synapse, name: str) -> HomeserverClient:
    account = await server.register(name)
    client = HomeserverClient(server.url)
    identifier = {"type": "m.id.user", "user": account.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": account.password}
    client.token = (await client.call("POST", f"{CLIENT}/login", body))["access_token"]
    return client


async def test_an_account_under_the_default_limits_is_told_from_one_without(
    synapse: Synapse, strict_synapse: Synapse
) -> None:
    for server, limited in ((synapse, False), (strict_synapse, True)):
        client = await logged_in(server, "doctor")
        try:
            assert await is_limited(client) is limited
        finally:
            await client.close()


async def test_a_real_synapse_is_in_order(synapse: Synapse) -> None:
    assert [finding.level for finding in await homeserver(synapse.url)] == ["ok", "ok", "ok"]
