"""A homeserver that asks for the account's password at the FIRST upload of an identity too (before MSC3967). Synapse
does not do that any more, so a small HTTP server plays it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from messenger.matrix.http import CLIENT, HomeserverClient
from messenger.matrix.identity import IdentityLocked
from messenger.matrix.identity.cross_signing import publish_identity

USER, PASSWORD, BODY = "@desk:test", "right", {"master_key": {"usage": ["master"]}}


class AskingServer:
    """Answers like a homeserver with user-interactive authentication; keeps the accepted upload."""

    def __init__(self) -> None:
        self.accepted: dict[str, Any] | None = None
        self.flows: list[dict[str, list[str]]] = [{"stages": ["m.login.password"]}]
        app = web.Application()
        app.router.add_post(f"{CLIENT}/keys/device_signing/upload", self._upload)
        app.router.add_post(f"{CLIENT}/keys/query", self._query)
        self.server = TestServer(app)

    async def _query(self, _: web.Request) -> web.Response:
        return web.json_response({"device_keys": {}})

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.json()
        auth = body.pop("auth", {})
        user_id = auth.get("identifier", {}).get("user")
        if (auth.get("session"), auth.get("password"), user_id) == ("the session", PASSWORD, USER):
            self.accepted = body
            return web.json_response({})
        challenge = {"session": "the session", "flows": self.flows, "params": {}}
        return web.json_response(challenge | ({"errcode": "M_FORBIDDEN"} if auth else {}), status=401)


@pytest.fixture
async def asking() -> AsyncIterator[AskingServer]:
    asking = AskingServer()
    await asking.server.start_server()
    yield asking
    await asking.server.close()


@pytest.fixture
async def http(asking: AskingServer) -> AsyncIterator[HomeserverClient]:
    client = HomeserverClient(str(asking.server.make_url("/")))
    yield client
    await client.close()


async def test_the_password_is_given_when_the_homeserver_asks_for_it(
    asking: AskingServer, http: HomeserverClient
) -> None:
    await publish_identity(http, USER, BODY, password=PASSWORD)
    assert asking.accepted == BODY


@pytest.mark.parametrize(("password", "words"), [(None, "asks for the account's password"), ("wrong", "refused")])
async def test_without_the_right_password_the_operator_is_told(
    asking: AskingServer, http: HomeserverClient, password: str | None, words: str
) -> None:
    with pytest.raises(IdentityLocked, match=words):
        await publish_identity(http, USER, BODY, password=password)
    assert asking.accepted is None


async def test_a_homeserver_with_its_own_account_page_is_named(asking: AskingServer, http: HomeserverClient) -> None:
    asking.flows = [{"stages": ["m.oauth"]}]
    with pytest.raises(IdentityLocked, match=r"account page \(m\.oauth\)"):
        await publish_identity(http, USER, BODY, password=PASSWORD)
