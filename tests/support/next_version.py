"""The version after this one: the schema's head with one migration more, made for a test.

`EXPAND` does to the tables on a message's path what an expand migration may do; `CONTRACT` takes something away and
says so. Both are steps of Alembic like our own, so that what runs them is what runs ours."""

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import AsyncEngine

from messenger.storage import migration

NEXT = "next1"
_HEAD = '''"""The next version

Revision: {revision}   After: {after}
Phase: {phase}
"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{after}"
branch_labels = None
depends_on = None
'''
EXPAND = """
TABLES = ("conversation", "message", "event_log", "inbox", "outbox", "remote_message", "timer", "lease", "chat",
          "contact", "staff", "skill_group", "group_member", "mx_room", "mx_member", "data_key", "desk", "cursor")


def upgrade():
    for table in TABLES:
        op.add_column(table, sa.Column("next_empty", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("next_full", sa.Integer(), nullable=False, server_default="7"))
    op.create_table("next_table", sa.Column("id", sa.BigInteger(), primary_key=True))
    with op.get_context().autocommit_block():
        op.create_index("ix_next", "message", ["next_full"], postgresql_concurrently=True)


def downgrade():
    op.drop_index("ix_next", table_name="message")
    op.drop_table("next_table")
    for table in TABLES:
        op.drop_column(table, "next_full")
        op.drop_column(table, "next_empty")
"""
CONTRACT = """
oldest_program = "{revision}"


def upgrade():
    op.drop_column("conversation", "unanswered_since")


def downgrade():
    op.add_column("conversation", sa.Column("unanswered_since", sa.DateTime(timezone=True), nullable=True))
"""


@dataclass(frozen=True)
class NextVersion:
    """`folder` holds the one migration that our own scripts do not know."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, *, steps: str = EXPAND, phase: str = "expand") -> "NextVersion":
        folder.mkdir(parents=True, exist_ok=True)
        text = (_HEAD + steps).replace("{revision}", NEXT).replace("{after}", migration.head())
        (folder / "next_version.py").write_text(text.replace("{phase}", phase))
        return cls(folder)

    async def up(self, engine: AsyncEngine) -> None:
        await migration.run(engine, self._settings(), lambda settings: command.upgrade(settings, "head"))

    async def down(self, engine: AsyncEngine) -> None:
        await migration.run(engine, self._settings(), lambda settings: command.downgrade(settings, "-1"))

    def _settings(self) -> Config:
        settings = migration.config()
        ours = Path(str(settings.get_main_option("script_location"))) / "versions"
        settings.set_main_option("path_separator", "newline")
        settings.set_main_option("version_locations", f"{ours}\n{self.folder}")
        return settings
