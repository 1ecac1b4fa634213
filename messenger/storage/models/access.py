"""What people are in the whole installation, and whose glass they have broken."""

from sqlalchemy import Column, ForeignKey, Table, Text, func

from messenger.storage.models.base import Moment, metadata

staff_role = Table(
    "staff_role",
    metadata,
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),  # admin, auditor, dpo, partner, service
    Column("made_at", Moment, nullable=False, server_default=func.now()),
)

broken_glass = Table(
    "broken_glass",
    metadata,
    Column("conversation_id", ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True),
    Column("staff_id", ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True),
    Column("until", Moment, nullable=False),
)
