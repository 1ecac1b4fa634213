"""After a restore: what does the homeserver know that we do not, and we that it does not?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.app.items import ChatInvited
from messenger.app.records import NewItem
from messenger.bootstrap.database import Storage
from messenger.bootstrap.desk import patiently
from messenger.channels.messages import Handle
from messenger.matrix.batch import as_dict, as_list, as_text, is_user_id, server_of
from messenger.matrix.crypto.engine import NioEngine
from messenger.matrix.http import CLIENT, HomeserverClient, MatrixError, path
from messenger.matrix.invites import InvitePolicy
from messenger.matrix.sent_index import is_missing
from messenger.matrix.sync import SyncLoop
from messenger.observability.time import utc_now
from messenger.storage import desk_life
from messenger.storage.desk_store import SqlDeskStore
from messenger.storage.models.rooms import mx_room
from messenger.storage.unit_of_work import SqlUnits

PROBED = 20
MOST_PROBES = 500  # blocks: 10,000 messages back


async def homeserver_lost_since(http: HomeserverClient, database: AsyncEngine, account: str) -> datetime | None:
    """Since when it lacks messages that we have handled; None: it has them all. Looks back, block by block, to one that
    is there whole."""
    lost_since = None
    for block in range(MOST_PROBES):
        known = await desk_life.known_events(database, account, most=PROBED, skip=block * PROBED)
        missing = [event for room, event in known.events if await is_missing(http, room, event)]
        if not missing or known.since is None:
            break
        lost_since = known.since
    return lost_since


async def catch_up(http: HomeserverClient, engine: NioEngine, store: SqlDeskStore, *, since: datetime) -> None:
    """Reads every room back to `since` and hands on what is new: for a homeserver whose own place in time our token
    does not name any more."""
    loop = SyncLoop(http, engine, store, invites=InvitePolicy(), on_rooms=lambda _: None, on_batch=lambda: None)
    await loop.begin_anew(not_before=since)


async def invitations_of_the_lost(http: HomeserverClient, storage: Storage, account: str, rooms: Sequence[str]) -> int:
    """Chats that were opened after the backup: the desk is in them already, so that no invitation comes any more. They
    are handled as if one had just come."""
    known = await _known_rooms(storage.engine, account)
    found = [item for room in rooms if room not in known and (item := await _invitation(http, account, room))]
    units = SqlUnits(storage.engine, storage.keys, namespace=storage.namespace, desk=account)
    async with units() as unit:
        await unit.inbox.add(found)
    return len(found)


async def _known_rooms(database: AsyncEngine, account: str) -> frozenset[str]:
    async with database.connect() as connection:
        return frozenset(await connection.scalars(sa.select(mx_room.c.room_id).where(mx_room.c.account == account)))


async def _invitation(http: HomeserverClient, account: str, room: str) -> NewItem | None:
    """None for rooms of our own: their makers find them again by their alias."""
    try:
        state = as_list(await patiently(lambda: http.call("GET", f"{CLIENT}/rooms/{path(room)}/state")))
    except MatrixError:
        return None
    creators = [
        as_text(as_dict(event).get("sender")) for event in state if as_dict(event).get("type") == "m.room.create"
    ]
    inviter = creators[0] if creators else ""
    if not is_user_id(inviter) or inviter == account:
        return None
    item: Any = ChatInvited(
        account=account,
        chat=room,
        sender=Handle(kind="mxid", value=inviter),
        server=server_of(inviter),
        at=utc_now(),
        not_before=None,
    )
    lane = f"invite|{server_of(inviter)}"
    return NewItem(source=account, source_id=f"invite|{room}|recovered", lane=lane, item=item)
