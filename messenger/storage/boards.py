"""The groups' boards: what stands on them now, and when they were edited last. Reading locks nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from messenger.app.records import BoardNow, BoardRow, Present
from messenger.domain.ids import GroupId
from messenger.domain.people import Role
from messenger.storage.lists import SqlLists
from messenger.storage.models.people import skill_group
from messenger.storage.people import as_group

_MAY_BE_EDITED = sa.or_(skill_group.c.board_edit_at.is_(None), skill_group.c.board_edit_at <= sa.func.now())
# The states are written out: with parameters the generic plans do not recognise the partial indexes.
_COUNTS = sa.text("""
SELECT count(*) FILTER (WHERE state = 'queued') AS waiting,
  count(*) FILTER (WHERE state = 'open') AS in_work,
  count(*) FILTER (WHERE state = 'paused') AS paused,
  count(*) FILTER (WHERE state = 'paused' AND pause_until < :tomorrow) AS waking,
  (SELECT count(*) FROM conversation
   WHERE state = 'resolved' AND group_id = CAST(:group AS uuid) AND resolved_at >= :today) AS resolved
FROM conversation
WHERE state IN ('queued', 'open', 'paused') AND blocked IS NULL AND group_id = CAST(:group AS uuid)""")
_PRESENT = sa.text("""
SELECT staff.name, staff.capacity_units AS units, (
  SELECT count(*) FROM conversation WHERE owner_id = staff.id AND state = 'open'
) AS has
FROM group_member JOIN staff ON staff.id = group_member.staff_id
WHERE group_id = CAST(:group AS uuid) AND role = ANY(CAST(:roles AS text[])) AND availability = 'available'
ORDER BY staff.name, staff.id""")


class SqlBoards:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def due(self) -> Sequence[GroupId]:
        query = sa.select(skill_group.c.id).where(skill_group.c.room_id.is_not(None), _MAY_BE_EDITED)
        return [GroupId(id) for id in await self._connection.scalars(query)]

    async def get(self, group: GroupId) -> BoardRow:
        row = (await self._connection.execute(sa.select(skill_group).where(skill_group.c.id == group))).one()
        return BoardRow(group=as_group(row), room=row.room_id, event=row.board_event, digest=row.board_digest)

    async def book(self, group: GroupId, *, pause: timedelta) -> bool:
        later = skill_group.update().where(skill_group.c.id == group, _MAY_BE_EDITED)
        return bool((await self._connection.execute(later.values(board_edit_at=sa.func.now() + pause))).rowcount)

    async def now(self, group: GroupId, *, today: datetime, tomorrow: datetime, most: int) -> BoardNow:
        days = {"group": group, "today": today, "tomorrow": tomorrow}
        counts = (await self._connection.execute(_COUNTS, days)).one()
        first = await SqlLists(self._connection).first_waiting([group], most)
        roles = [role.value for role in Role if role.can_answer]
        present = await self._connection.execute(_PRESENT, {"group": group, "roles": roles})
        return BoardNow(
            waiting=counts.waiting,
            in_work=counts.in_work,
            paused=counts.paused,
            waking=counts.waking,
            resolved=counts.resolved,
            first=first,
            present=[Present(name=row.name, has=row.has, units=row.units) for row in present],
        )
