"""Skill groups and the people who serve in them."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from messenger.storage.models.base import Moment, metadata

skill_group = Table(
    "skill_group",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("languages", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("keywords", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'")),
    Column("room_id", Text, unique=True),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
    Index("ix_skill_group_one_default", "is_default", unique=True, postgresql_where=text("is_default")),
)

staff = Table(
    "staff",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("made_at", Moment, nullable=False, server_default=func.now()),
)

group_member = Table(
    "group_member",
    metadata,
    Column("group_id", ForeignKey("skill_group.id", ondelete="CASCADE"), primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    Index("ix_group_member_staff_id", "staff_id"),
)
