"""Skill groups and the people who serve in them."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
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
    Column("board_event", Text),
    Column("board_digest", Text),  # of what stands on the board, without its time
    Column("board_edit_at", Moment),  # the next edit of the board not before
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
    Column("availability", Text, nullable=False, server_default=text("'available'")),
    Column("availability_since", Moment, nullable=False, server_default=func.now()),
    Column("enc_availability_reason", LargeBinary),
    Column("capacity_units", Numeric(6, 2, asdecimal=False), nullable=False, server_default=text("5")),
    Column("idle_since", Moment),  # when something last came into their hands or left them
    Column("direct_room", Text),  # where the desk speaks to this person alone: the newest of `direct_room`
)

# Every room in which the desk and somebody of the staff talk alone; commands are heard in all of them.
direct_room = Table(
    "direct_room",
    metadata,
    Column("room_id", Text, primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), nullable=False, index=True),
)

# Levels 0 to 5.
staff_skill = Table(
    "staff_skill",
    metadata,
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
    Column("skill", Text, primary_key=True),
    Column("level", SmallInteger, nullable=False),
    Column("valid_to", Moment),  # from then on it is as if they had no such skill
)

# What somebody's availability was, and how long; append-only.
availability_log = Table(
    "availability_log",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("availability", Text, nullable=False),
    Column("source", Text, nullable=False),  # self, lead, system
    Column("since", Moment, nullable=False, server_default=func.now()),
)

group_member = Table(
    "group_member",
    metadata,
    Column("group_id", ForeignKey("skill_group.id", ondelete="CASCADE"), primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    Index("ix_group_member_staff_id", "staff_id"),
)
