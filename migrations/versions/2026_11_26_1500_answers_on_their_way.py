"""Which answers are on their way, and since when the customer waits if one of them fails

Revision: 0006   After: 0005
Phase: expand
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What has been let go and has not arrived answers all that was unanswered.
_NOW = """
UPDATE conversation SET on_their_way = queued.answers FROM (
  SELECT message.conversation_id,
    jsonb_agg(jsonb_build_array(message.id, conversation.unanswered_since) ORDER BY message.seq) AS answers
  FROM message JOIN conversation ON conversation.id = message.conversation_id
  WHERE message.fate = 'queued' AND NOT message.id = ANY (conversation.scheduled) AND conversation.state <> 'resolved'
  GROUP BY message.conversation_id
) AS queued
WHERE conversation.id = queued.conversation_id"""


def upgrade() -> None:
    answers = sa.Column("on_their_way", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
    op.add_column("conversation", answers)
    op.execute(_NOW)


def downgrade() -> None:
    op.drop_column("conversation", "on_their_way")
