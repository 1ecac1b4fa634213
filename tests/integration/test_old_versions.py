"""Nothing starts on a homeserver or a library with known holes, and nothing is asked of the homeserver; one that nobody
has tried is served."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from messenger import bootstrap
from messenger.bootstrap.database import open_storage
from messenger.bootstrap.versions import WrongVersion
from messenger.cli.words import words_of
from messenger.demo.synapse import Synapse
from messenger.matrix.versions import SERVER_VERSION
from messenger.storage.desks import DeskLogin, save_login
from tests.hostile.scene import Accounts
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.fake_homeserver.faults import FOR_EVER
from tests.support.product import Product


@pytest.fixture
async def homeserver() -> AsyncIterator[FakeHomeserver]:
    server = FakeHomeserver()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def installed(tmp_path: Path, homeserver: FakeHomeserver, database_url: str) -> Product:
    return await Product.install(tmp_path / "stellwerk", cast(Synapse, Accounts(homeserver)), database_url)


def says_it_is(homeserver: FakeHomeserver, name: str, version: str) -> None:
    body = {"server": {"name": name, "version": version}}
    homeserver.faults.answer_with(SERVER_VERSION, body, times=FOR_EVER)


async def test_serve_does_not_start_on_a_synapse_with_known_holes(
    homeserver: FakeHomeserver, installed: Product
) -> None:
    says_it_is(homeserver, "Synapse", "1.152.0")
    with pytest.raises(WrongVersion) as refused:
        await bootstrap.serve(installed.settings, stop=asyncio.Event(), ready=lambda: pytest.fail("it serves"))
    words = words_of(refused.value)
    assert "Synapse 1.152.0 has known holes" in words and "1.152.1 or later" in words
    assert [request.path for request in homeserver.requests] == [SERVER_VERSION]  # no login, no device


@pytest.mark.parametrize(("package", "version"), [("vodozemac", "0.9.0"), ("matrix_nio", "0.27.0")])
async def test_serve_does_not_start_with_a_library_that_is_too_old_or_unknown(
    homeserver: FakeHomeserver, installed: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    package: str, version: str,
) -> None:  # fmt: skip
    name = package.replace("_", "-")
    about = tmp_path / "packages" / f"{package}-{version}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    with pytest.raises(WrongVersion, match=f"{name}: {version}"):
        await bootstrap.serve(installed.settings, stop=asyncio.Event(), ready=lambda: pytest.fail("it serves"))
    assert not homeserver.sent_to("/login")


async def test_a_desk_is_not_recovered_on_a_synapse_with_known_holes(
    homeserver: FakeHomeserver, installed: Product
) -> None:
    settings = installed.settings
    async with open_storage(settings) as storage:
        login = DeskLogin(account=installed.desk, device_id="BEFORE", token="token")
        await save_login(storage.engine, storage.keys, login, is_first=True)
    says_it_is(homeserver, "Synapse", "1.151.0")
    with pytest.raises(WrongVersion):
        await bootstrap.recover_desk(settings, settings.desk())
    assert [request.path for request in homeserver.requests] == [SERVER_VERSION]


async def test_serve_starts_on_a_homeserver_that_nobody_has_tried_and_warns(
    homeserver: FakeHomeserver, installed: Product, caplog: pytest.LogCaptureFixture
) -> None:
    says_it_is(homeserver, "Dendrite", "0.14.0")
    stop = asyncio.Event()
    with caplog.at_level(logging.WARNING, logger="messenger.bootstrap.versions"):
        await bootstrap.serve(installed.settings, stop=stop, ready=stop.set)
    assert [vars(record)["reason"] for record in caplog.records if vars(record)["kind"] == "homeserver version"] == [
        "Dendrite 0.14.0: Stellwerk is tested with Synapse only"
    ]
    assert homeserver.sent_to("/login", "POST")
