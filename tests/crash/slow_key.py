"""A room key that comes late: the customer's messages are there, the desk cannot read them yet."""

import uuid

from messenger.matrix.http import CLIENT, path
from tests.crash.office import Matter
from tests.support.keys import persistently


class SlowKey:
    """From now on the customer writes under a new key, which nobody gets before `hand_over`."""

    def __init__(self, matter: Matter, desk: str) -> None:
        self._person, self._room, self._desk = matter.customer, matter.chat, desk
        self._person.device.rotate(self._room)
        self._content = self._person.device.room_key(self._room)
        self._devices = list(self._person.keys._devices[desk].values())
        # As if handed over already: the client does not do it by itself.
        self._person.device.outbound(self._room).holders.update((desk, each["device_id"]) for each in self._devices)

    async def hand_over(self) -> None:
        sealed = {
            each["device_id"]: self._person.device.encrypt_to_device(each, "m.room_key", self._content)
            for each in self._devices
        }
        url = f"{CLIENT}/sendToDevice/m.room.encrypted/{path(uuid.uuid4().hex)}"
        body = {"messages": {self._desk: sealed}}
        await persistently(lambda: self._person.server.call("PUT", url, body))
