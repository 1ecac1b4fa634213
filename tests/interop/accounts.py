"""Bot accounts for identity tests: a login of its own and a device that has published its keys."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from messenger.demo.synapse import Registered, Synapse
from messenger.matrix.http import CLIENT, HomeserverClient
from tests.unit.identity_device import KeyedDevice

_numbers = itertools.count(1)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the product may catch it."""


class MortalClient(HomeserverClient):
    """Counts calls, and dies after one of them: the homeserver has done what was asked, the caller never learns."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.calls: list[str] = []
        self.dies_after: int | None = None

    async def call(self, method: str, url: str, body: Any = None, **options: Any) -> Any:
        answer = await super().call(method, url, body, **options)
        self.calls.append(f"{method} {url}")
        if self.dies_after is not None and len(self.calls) >= self.dies_after:
            raise Killed(self.calls[-1])
        return answer

    @property
    def changes(self) -> list[str]:
        """The calls that changed something on the homeserver."""
        return [call for call in self.calls if not call.startswith("GET") and "/keys/query" not in call]


@dataclass(frozen=True, slots=True)
class BotLogin:
    http: MortalClient
    device: KeyedDevice
    account: Registered


async def new_account(synapse: Synapse) -> Registered:
    return await synapse.register(f"desk{next(_numbers)}", password="a password of the desk")


@asynccontextmanager
async def logged_in(synapse: Synapse, account: Registered, *, one_time_keys: int = 50) -> AsyncIterator[BotLogin]:
    """A new device of the account, its keys published."""
    http = MortalClient(synapse.url)
    try:
        answer = await http.call(
            "POST",
            f"{CLIENT}/login",
            {
                "type": "m.login.password",
                "password": account.password,
                "identifier": {"type": "m.id.user", "user": account.user_id},
            },
        )
        http.token = answer["access_token"]
        device = KeyedDevice(account.user_id, answer["device_id"])
        await device.publish(http, one_time_keys=one_time_keys)
        http.calls.clear()
        yield BotLogin(http, device, account)
    finally:
        await http.close()
