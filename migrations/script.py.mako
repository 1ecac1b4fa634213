"""${message}

Revision: ${up_revision}   After: ${down_revision | comma,n}
Phase: expand | backfill | contract
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# A contract migration names the revision that a program must know from now on: oldest_program = "…"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
