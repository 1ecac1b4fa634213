"""What an endpoint of the fake homeserver gets to work with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.fake_homeserver.world import Account, DeviceRecord, Refused, Room, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    world: World
    request: web.Request
    raw: bytes
    body: Any
    device: DeviceRecord | None

    @property
    def own_device(self) -> DeviceRecord:
        if self.device is None:
            raise Refused(401, "M_MISSING_TOKEN")
        return self.device

    @property
    def user_id(self) -> str:
        return self.own_device.user_id

    @property
    def account(self) -> Account:
        return self.world.accounts[self.user_id]

    def part(self, name: str) -> str:
        """A decoded segment of the path."""
        return self.request.match_info[name]

    @property
    def room(self) -> Room:
        """The room of the path; refuses those who have not joined it."""
        return self.world.room(self.part("room"), self.user_id)

    def once(self, *key: str, make: Callable[[], Any]) -> Any:
        """Transaction ids: the same request of the same device gets the first answer again."""
        memory = self.own_device.transactions
        if key not in memory:
            memory[key] = make()
        return memory[key]


Endpoint = Callable[[Context], Any]
Routes = dict[tuple[str, str], Endpoint]
