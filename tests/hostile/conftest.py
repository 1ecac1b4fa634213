"""One program and one homeserver for all attacks of a module."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from messenger.demo.synapse import Synapse
from messenger.storage.database import connect
from tests.hostile.scene import Accounts, Scene
from tests.support.databases import TestDatabases
from tests.support.fake_homeserver import FakeHomeserver
from tests.support.product import Product


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory, test_databases: TestDatabases) -> AsyncIterator[Scene]:
    fake = FakeHomeserver(record=False)
    await fake.start()
    name = await test_databases.fresh()
    url = test_databases.server.uri(name)
    folder = tmp_path_factory.mktemp("hostile") / "stellwerk"
    product = await Product.install(folder, cast(Synapse, Accounts(fake)), url)
    database = connect(url, application="judge")
    scene = Scene(fake, product, database)
    try:
        await scene.open()
        yield scene
    finally:
        await product.stop()
        await database.dispose()
        await fake.stop()
        await test_databases.drop(name)
