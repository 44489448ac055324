"""Let a task be retried once, and let its retry be found: a unique index over the few tasks that are one.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "uq_task_retry_of"


def upgrade() -> None:
    """Create the index."""
    is_retry = sa.text("retry_of_id IS NOT NULL")
    op.create_index(
        NAME, "task", ["retry_of_id"], unique=True, sqlite_where=is_retry, postgresql_where=is_retry
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_index(NAME, table_name="task")
