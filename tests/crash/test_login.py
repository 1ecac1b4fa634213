"""A desk that dies between its login and keeping it leaves no device behind that nobody knows."""

import pytest

from messenger.matrix.http import CLIENT
from tests.crash.house import KILLED
from tests.support.people import People
from tests.support.product import Product

pytestmark = [pytest.mark.crash, pytest.mark.usefixtures("five_times")]


async def test_a_login_that_was_begun_is_ended_with_the_same_device(product: Product, people: People) -> None:
    for _ in range(2):
        await product.start(environment={"STELLWERK_FAILPOINT": "logged_in:1"}, wait=False)
        assert await product.wait_until_ended() == KILLED
    await product.start()
    password = product.settings.desk().read_password()
    beside = await people.device_of(product.desk, password, auto_join=False)
    devices = (await beside.server.call("GET", f"{CLIENT}/devices"))["devices"]
    assert len(devices) == 2, "the desk's one, and the one with which we look"
