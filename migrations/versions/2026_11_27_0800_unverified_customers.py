"""Whether anybody vouches for the device of a customer's newest words

Revision: 0020   After: 0019
Phase: expand
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "conversation", sa.Column("is_unverified", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("conversation", "is_unverified")
