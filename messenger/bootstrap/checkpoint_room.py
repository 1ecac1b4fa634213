"""A third place of the audit log's checkpoints: a Matrix room whose members have, on devices of their own, where the
chain stood. They stand there in clear, so that a room that is encrypted gets none."""

import logging

from messenger.bootstrap.database import open_storage
from messenger.bootstrap.desk import client
from messenger.config import Desk, Settings
from messenger.matrix.batch import events
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.matrix.room_book import RoomBook
from messenger.storage.audit_checkpoints import Checkpoint
from messenger.storage.desks import load_login
from messenger.storage.rooms import was_encrypted

log = logging.getLogger(__name__)


class CheckpointRoom:
    """What was once seen encrypted counts as encrypted for ever, whatever its state says later: the room book keeps
    that in the database."""

    def __init__(self, http: HomeserverClient, book: RoomBook, room_id: str) -> None:
        self._http, self._book, self._room_id = http, book, room_id
        self._has_complained = False

    async def post(self, checkpoint: Checkpoint, line: str) -> None:
        """Raises MatrixError, Unreachable and Temporary, also where the room's state cannot be learnt: then nothing
        is said there."""
        if await self._is_encrypted():
            self._complain()
            return
        url = f"{CLIENT}/rooms/{path(self._room_id, 'send', 'm.room.message', f'audit-{checkpoint.mac.hex()}')}"
        await self._http.call("PUT", url, {"msgtype": "m.notice", "body": line})

    async def _is_encrypted(self) -> bool:
        """Comes into the room first, if somebody has invited us."""
        try:
            return await self._book.is_encrypted(self._room_id)
        except MatrixError as error:
            if error.status != 403:
                raise
        await self._http.call("POST", f"{CLIENT}/rooms/{path(self._room_id, 'join')}", {})
        return await self._book.is_encrypted(self._room_id)

    def _complain(self) -> None:
        """Once in a process; `doctor` says it, too."""
        if not self._has_complained:
            log.error("audit.room is encrypted: no checkpoints go there", extra={"room_id": self._room_id})
        self._has_complained = True


async def is_checkpoint_room_encrypted(settings: Settings, desk: Desk) -> bool:
    """For a check-up beside a running desk: nothing is written. Raises LookupError before the desk's first start,
    MatrixError and Unreachable."""
    room = settings.audit.room
    async with open_storage(settings) as storage:
        login = await load_login(storage.engine, storage.keys, desk.user_id)
        if await was_encrypted(storage.engine, room):
            return True
    if login is None:
        raise LookupError(f"{desk.user_id} has never been started: stellwerk serve")
    async with client(settings, login.token) as http:
        state = await http.call("GET", f"{CLIENT}/rooms/{path(room, 'state')}")
    return any(event["type"] == "m.room.encryption" for event in events(state))
