"""`stellwerk doctor` against a real homeserver: it tells a limited account from an unlimited one."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messenger.cli.doctor.account import is_limited
from messenger.cli.doctor.homeserver import homeserver
from messenger.demo.synapse import Synapse
from messenger.matrix.http import CLIENT, HomeserverClient
from tests.support.product import Product
from tests.support.warm import WarmChild, run_warm


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


OF_A_SERVING_DESK = (
    "master key",
    "self signing key",
    "device signed",
    "foreign devices",
    "key backup",
    "one time keys",
)


async def of_the_desk(product: Product) -> dict[str, str]:
    """What `doctor --json` finds of its identity and keys: levels by check."""
    _, said = await run_warm("messenger.cli", "--config", str(product.settings_file), "doctor", "--json")
    name = f"{product.desk}: "
    found = {each["check"].removeprefix(name): each["level"] for each in json.loads(said)}
    return {check: level for check, level in found.items() if check in OF_A_SERVING_DESK}


async def test_beside_a_serving_desk_its_identity_backup_and_keys_are_looked_at(
    product: Product, synapse: Synapse
) -> None:
    assert await of_the_desk(product) == {}, "it has none before its first start"
    await product.start()
    assert await of_the_desk(product) == dict.fromkeys(OF_A_SERVING_DESK, "ok")

    thief = HomeserverClient(synapse.url)
    password = (product.folder / "desk.password").read_text()
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": product.desk},
        "password": password,
    }
    thief.token = (await thief.call("POST", f"{CLIENT}/login", login))["access_token"]
    version = (await thief.call("GET", f"{CLIENT}/room_keys/version"))["version"]
    await thief.call("DELETE", f"{CLIENT}/room_keys/version/{version}")
    await thief.close()
    assert await of_the_desk(product) == {**dict.fromkeys(OF_A_SERVING_DESK, "ok"), "key backup": "fail"}
    assert product.is_running
