"""Let the open tasks of a requester be counted: an index over the tasks of agents that have not ended.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = "ix_task_requester"


def upgrade() -> None:
    """Create the index."""
    is_open = sa.text("ended_at_us IS NULL AND requester_id IS NOT NULL")
    op.create_index(NAME, "task", ["requester_id"], sqlite_where=is_open, postgresql_where=is_open)


def downgrade() -> None:
    """Take it away again."""
    op.drop_index(NAME, table_name="task")
