"""Which identity of the desk people know

Revision: 0015   After: 0014
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "announced_identity",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("master", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_announced_identity")),
    )


def downgrade() -> None:
    op.drop_table("announced_identity")
