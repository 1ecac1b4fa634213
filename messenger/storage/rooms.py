"""Room state in our own tables: the encryption pin, members, and who is entitled to read."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messenger.app.desk_ports import RoomState
from messenger.storage.database import fetch
from messenger.storage.models.conversations import case_member, channel_identity, chat, place
from messenger.storage.models.people import direct_room, group_member, skill_group, staff
from messenger.storage.models.rooms import mx_member, mx_room, room_succession
from messenger.storage.models.trust import trust_alert
from messenger.storage.statements import Statement

PRESENT = ("join", "invite")
_FORMER = sa.exists().where(
    room_succession.c.account == mx_room.c.account, room_succession.c.room_id == mx_room.c.room_id
)
_USE = sa.case(
    (sa.exists().where(skill_group.c.room_id == mx_room.c.room_id), "group"),
    (sa.exists().where(chat.c.remote == mx_room.c.room_id, chat.c.account == mx_room.c.account), "chat"),
    (sa.exists().where(place.c.room_id == mx_room.c.room_id, place.c.is_room), "case"),
    (sa.exists().where(direct_room.c.room_id == mx_room.c.room_id), "direct"),
    (_FORMER.where(room_succession.c.group_id.is_not(None)), "group"),
    (_FORMER.where(room_succession.c.chat_id.is_not(None)), "chat"),
    else_="none",
).label("use")
_SUCCESSION = (
    sa.select(room_succession.c.state)
    .where(room_succession.c.account == mx_room.c.account, room_succession.c.room_id == mx_room.c.room_id)
    .scalar_subquery()
    .label("succession")
)

_LOAD = Statement(
    sa.select(mx_room, _USE, _SUCCESSION).where(
        mx_room.c.account == sa.bindparam("of"), mx_room.c.room_id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.Text)))
    )
)


async def was_encrypted(engine: AsyncEngine, room_id: str) -> bool:
    """Has any desk ever seen it so?"""
    async with engine.connect() as connection:
        seen = sa.exists().where(mx_room.c.room_id == room_id, mx_room.c.encrypted)
        return bool(await connection.scalar(sa.select(seen)))


async def load(connection: AsyncConnection, account: str, ids: Sequence[str]) -> Mapping[str, RoomState]:
    rows = await fetch(connection, _LOAD, {"of": account, "ids": list(ids)})
    return {
        row.room_id: RoomState(
            room_id=row.room_id,
            encrypted=row.encrypted,
            algorithm=row.algorithm or "",
            rotation_ms=row.rotation_ms,
            rotation_messages=row.rotation_messages,
            history_visibility=row.history_visibility,
            membership=row.membership,
            members_known=row.members_known,
            use=row.use,
            succession=row.succession or "",
        )
        for row in rows
    }


async def save(connection: AsyncConnection, account: str, states: Sequence[RoomState]) -> None:
    """`encrypted` only ever goes to true, whatever the rows say."""
    if not states:
        return
    new = insert(mx_room).values(
        [
            {
                "account": account,
                "room_id": state.room_id,
                "encrypted": state.encrypted,
                "algorithm": state.algorithm or None,
                "rotation_ms": state.rotation_ms,
                "rotation_messages": state.rotation_messages,
                "history_visibility": state.history_visibility,
                "membership": state.membership,
                "members_known": state.members_known,
            }
            for state in states
        ]
    )
    changed: dict[str, Any] = {
        column.name: new.excluded[column.name] for column in mx_room.columns if not column.primary_key
    }
    changed["encrypted"] = sa.or_(mx_room.c.encrypted, new.excluded.encrypted)
    await connection.execute(new.on_conflict_do_update(index_elements=list(mx_room.primary_key), set_=changed))


async def save_members(
    connection: AsyncConnection, account: str, room: str, users: Mapping[str, str], *, complete: bool
) -> None:
    if complete:
        await connection.execute(mx_member.delete().where(mx_member.c.account == account, mx_member.c.room_id == room))
    if not users:
        return
    new = insert(mx_member).values(
        [
            {"account": account, "room_id": room, "user_id": user, "membership": membership}
            for user, membership in users.items()
        ]
    )
    await connection.execute(
        new.on_conflict_do_update(
            index_elements=list(mx_member.primary_key), set_={"membership": new.excluded.membership}
        )
    )


async def members(connection: AsyncConnection, account: str, room: str) -> frozenset[str]:
    """Joined and invited users: what is said before somebody joins must be readable for them."""
    query = sa.select(mx_member.c.user_id).where(
        mx_member.c.account == account, mx_member.c.room_id == room, mx_member.c.membership.in_(PRESENT)
    )
    return frozenset((await connection.scalars(query)).all())


async def decided(
    connection: AsyncConnection, account: str, room: str, state: str, causes: Sequence[str]
) -> frozenset[str]:
    """Users about whom a person has decided so in this room, last of all."""
    about = trust_alert.c.account == account, trust_alert.c.room_id == room, trust_alert.c.cause.in_(causes)
    last = (
        sa.select(trust_alert.c.user_id, trust_alert.c.state)
        .where(*about)
        .ext(distinct_on(trust_alert.c.user_id))
        .order_by(trust_alert.c.user_id, trust_alert.c.id.desc())
    )
    return frozenset(row.user_id for row in await connection.execute(last) if row.state == state)


async def known_staff(connection: AsyncConnection, members: Collection[str]) -> frozenset[str]:
    """Those who are, or were, of the staff: they are on their way out, or may be there without keys."""
    query = sa.select(staff.c.address).where(staff.c.address.in_(members))
    return frozenset((await connection.scalars(query)).all())


async def entitled(connection: AsyncConnection, account: str, room: str) -> frozenset[str]:
    """The users whom our database allows to read this room: the group's members, the chat's customer, or, as
    long as they have a seat, the member of staff whose direct chat it is and those who may read a case room. In a
    former room they are those of the one that has taken its place."""
    former = sa.select(room_succession).where(room_succession.c.account == account, room_succession.c.room_id == room)
    of_group, of_chat = (
        former.with_only_columns(room_succession.c.group_id),
        former.with_only_columns(room_succession.c.chat_id),
    )
    staff_of_group = (
        sa.select(staff.c.address.label("user_id"))
        .join_from(staff, group_member, group_member.c.staff_id == staff.c.id)
        .join(skill_group, skill_group.c.id == group_member.c.group_id)
        .where(sa.or_(skill_group.c.room_id == room, skill_group.c.id.in_(of_group)))
    )
    customer = (
        sa.select(channel_identity.c.value)
        .join_from(channel_identity, chat, chat.c.identity_id == channel_identity.c.id)
        .where(chat.c.account == account, sa.or_(chat.c.remote == room, chat.c.id.in_(of_chat)))
    )
    has_seat = sa.exists().where(group_member.c.staff_id == staff.c.id)
    person = sa.select(staff.c.address).join(direct_room).where(direct_room.c.room_id == room, has_seat)
    in_case = (
        sa.select(staff.c.address)
        .join_from(staff, case_member, case_member.c.staff_id == staff.c.id)
        .join(place, place.c.conversation_id == case_member.c.conversation_id)
        .where(place.c.room_id == room, place.c.is_room, has_seat)
    )
    return frozenset((await connection.scalars(sa.union(staff_of_group, customer, person, in_case))).all())
