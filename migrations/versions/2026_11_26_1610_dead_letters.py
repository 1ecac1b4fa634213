"""What dead letters do to their lane, and what a person has decided about them

Revision: 0014   After: 0013
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letter", sa.Column("decision", sa.Text(), nullable=False, server_default="skip_and_mark"))
    op.add_column("dead_letter", sa.Column("verdict", sa.Text(), nullable=True))
    op.add_column("dead_letter", sa.Column("decided_by", sa.Text(), nullable=True))
    op.add_column("dead_letter", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_dead_letter_undecided", "dead_letter", ["id"], postgresql_where=sa.text("verdict IS NULL"))


def downgrade() -> None:
    op.drop_index("ix_dead_letter_undecided", table_name="dead_letter")
    for column in ("decided_at", "decided_by", "verdict", "decision"):
        op.drop_column("dead_letter", column)
