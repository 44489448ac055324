"""Give every resource a budget: caps by scope, holds, and accounts of other units beside money.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OF_BUDGETS = "budget_hold_id IS NOT NULL"
IN_A_WORKFLOW = "workflow IS NOT NULL"
HELD = "state = 'held'"
ONE_CAUSE = "(task_id IS NULL) <> (budget_hold_id IS NULL)"


def upgrade() -> None:
    """Create the tables of the budgets, and let a transfer and an escrow belong to a budget hold."""
    _create_tables()
    with op.batch_alter_table("escrow") as escrow:
        escrow.alter_column("task_id", existing_type=_identity64(), nullable=True)
        escrow.add_column(sa.Column("budget_hold_id", _identity64(), nullable=True))
        escrow.create_foreign_key(
            op.f("fk_escrow_budget_hold_id_budget_hold"), "budget_hold", ["budget_hold_id"], ["id"]
        )
        escrow.create_check_constraint(op.f("ck_escrow_one_cause"), ONE_CAUSE)
    with op.batch_alter_table("transfer") as transfer:
        transfer.add_column(sa.Column("budget_hold_id", _identity64(), nullable=True))
        transfer.create_foreign_key(
            op.f("fk_transfer_budget_hold_id_budget_hold"), "budget_hold", ["budget_hold_id"], ["id"]
        )
    _index_while(
        "ix_escrow_budget_hold", "escrow", OF_BUDGETS, "budget_hold_id", "source_account_id", unique=True
    )
    _index_while("ix_task_workflow", "task", IN_A_WORKFLOW, "workflow", "id")


def _identity64() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index_while(name: str, table: str, condition: str, *columns: str, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, list(columns), unique=unique, sqlite_where=where, postgresql_where=where)


def _create_tables() -> None:
    op.create_table(
        "budget",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("resource", sa.String(16), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("limit_amount", sa.BigInteger(), nullable=False),
        sa.Column("cap", sa.BigInteger(), nullable=False),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget")),
        sa.UniqueConstraint("name", name=op.f("uq_budget_name")),
    )
    op.create_index("ix_budget_period", "budget", ["period", "id"])
    op.create_table(
        "budget_limit",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("resource", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_limit")),
        sa.UniqueConstraint(
            "scope", "subject", "resource", "id", name=op.f("uq_budget_limit_scope_subject_resource_id")
        ),
    )
    op.create_table(
        "budget_hold",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("agent_id", _identity64(), nullable=False),
        sa.Column("resource", sa.String(16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("task_id", _identity64(), nullable=True),
        sa.Column("workflow", sa.String(80), nullable=True),
        sa.Column("parent_hold_id", _identity64(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("settled_amount", sa.BigInteger(), nullable=True),
        sa.Column("held_at_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_hold")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_budget_hold_agent_id_agent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_budget_hold_task_id_task")),
        sa.ForeignKeyConstraint(
            ["parent_hold_id"], ["budget_hold.id"], name=op.f("fk_budget_hold_parent_hold_id_budget_hold")
        ),
    )
    op.create_index("ix_budget_hold_agent", "budget_hold", ["agent_id", "id"])
    _index_while("ix_budget_hold_held", "budget_hold", HELD, "expires_at_us")


def downgrade() -> None:
    """Drop the budgets with everything that was booked on them; money stays as it was."""
    op.drop_index("ix_task_workflow", table_name="task")
    op.drop_index("ix_escrow_budget_hold", table_name="escrow")
    op.execute("DELETE FROM escrow WHERE budget_hold_id IS NOT NULL")
    op.execute(
        "DELETE FROM transfer WHERE debit_account_id IN (SELECT id FROM account WHERE owner LIKE 'budget:%')"
    )
    op.execute("DELETE FROM account WHERE owner LIKE 'budget:%'")
    with op.batch_alter_table("transfer") as transfer:
        transfer.drop_constraint(op.f("fk_transfer_budget_hold_id_budget_hold"), type_="foreignkey")
        transfer.drop_column("budget_hold_id")
    with op.batch_alter_table("escrow") as escrow:
        escrow.drop_constraint(op.f("ck_escrow_one_cause"), type_="check")
        escrow.drop_constraint(op.f("fk_escrow_budget_hold_id_budget_hold"), type_="foreignkey")
        escrow.drop_column("budget_hold_id")
        escrow.alter_column("task_id", existing_type=_identity64(), nullable=False)
    for name in ("budget_hold", "budget_limit", "budget"):
        op.drop_table(name)
