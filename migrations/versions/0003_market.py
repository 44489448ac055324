"""Give the market its record of outcomes, heartbeat leases, learned entrants and accounts of any unit.

A transfer names both its sides, so that the table of journal entries goes. Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTED = "('verified', 'verification_failed', 'timed_out', 'agent_error', 'lease_lapsed')"
OUTCOMES = f"""
INSERT INTO agent_outcome (agent_id, kind, task_id, attempt_number, task_type, requester_id,
                           confidence_percent, recorded_at_us)
SELECT attempt.agent_id,
       CASE WHEN attempt.state = 'verified' THEN 'verified'
            WHEN attempt.reason = 'lease_lapsed' THEN 'crashed' ELSE 'failed' END,
       attempt.task_id, attempt.number, task.type, task.requester_id, bid.confidence_percent,
       attempt.ended_at_us
FROM attempt
JOIN task ON task.id = attempt.task_id
LEFT JOIN bid ON bid.task_id = attempt.task_id AND bid.agent_id = attempt.agent_id
WHERE attempt.reason IN {COUNTED} AND attempt.ended_at_us IS NOT NULL
ORDER BY attempt.ended_at_us, attempt.id
"""  # noqa: S608 (constants of this file)
CARRIED = """
INSERT INTO agent_outcome (agent_id, kind, recorded_at_us)
SELECT id, CASE WHEN standing = 'suspended' THEN 'suspended' ELSE 'reinstated' END, last_active_at_us
FROM agent ORDER BY id
"""
OVERALL = """
UPDATE agent SET
 success_weight = coalesce((SELECT sum(success_weight) FROM agent_record WHERE agent_id = agent.id), 0),
 failure_weight = coalesce((SELECT sum(failure_weight) FROM agent_record WHERE agent_id = agent.id), 0),
 open_bids = (SELECT count(*) FROM bid JOIN task ON task.id = bid.task_id
              WHERE bid.agent_id = agent.id AND task.state = 'bidding'),
 suspended_at_us = CASE WHEN standing = 'suspended' THEN last_active_at_us END
"""
JOURNAL = """
INSERT INTO journal_entry (transfer_id, account_id, amount_microcredits)
SELECT id, debit_account_id, -amount_microcredits FROM transfer
UNION ALL SELECT id, credit_account_id, amount_microcredits FROM transfer
"""
AGENT_COUNTS = ("trial_successes", "trial_failures", "consecutive_crashes", "forecasts", "open_bids")
AGENT_WEIGHTS = ("success_weight", "failure_weight", "brier_sum")
MONEY = (("account", "balance"), ("transfer", "amount"), ("escrow", "amount"))


def upgrade() -> None:
    """Rename money's columns, add the columns, tables and indexes, and copy what is known into them."""
    op.drop_table("journal_entry")
    for table, name in MONEY:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(f"{name}_microcredits", new_column_name=name, existing_type=sa.BigInteger())
    with op.batch_alter_table("account") as account:
        account.add_column(
            sa.Column("unit", sa.String(16), nullable=False, server_default=sa.text("'microcredits'"))
        )
    with op.batch_alter_table("transfer") as transfer:
        transfer.create_check_constraint(op.f("ck_transfer_amount_positive"), "amount > 0")
        transfer.create_check_constraint(
            op.f("ck_transfer_two_accounts"), "debit_account_id <> credit_account_id"
        )
    _alter_agents()
    _alter_tasks()
    _create_tables()
    op.execute(OUTCOMES)
    op.execute(CARRIED)
    op.execute(OVERALL)
    op.execute("INSERT INTO entrant_record (id, successes, failures) VALUES (1, 1, 1)")


def _identity64() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _alter_agents() -> None:
    with op.batch_alter_table("agent") as agent:
        agent.drop_column("standing_log_e")
        for name in AGENT_COUNTS:
            agent.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0")))
        for name in AGENT_WEIGHTS:
            agent.add_column(sa.Column(name, sa.Float(), nullable=False, server_default=sa.text("0")))
        agent.add_column(sa.Column("suspended_at_us", sa.BigInteger(), nullable=True))


def _alter_tasks() -> None:
    with op.batch_alter_table("task") as task:
        for name in ("ix_task_open", "ix_task_type_state", "ix_task_awarded_agent"):
            task.drop_index(name)
        task.add_column(sa.Column("retry_of_id", _identity64(), nullable=True))
        task.add_column(sa.Column("workflow", sa.String(80), nullable=True))
        task.create_foreign_key(op.f("fk_task_retry_of_id_task"), "task", ["retry_of_id"], ["id"])
        task.create_index("ix_task_type", ["type", "id"])
    with op.batch_alter_table("bid") as bid:
        bid.create_index("ix_bid_agent", ["agent_id", "id"])
    with op.batch_alter_table("award") as award:
        award.add_column(
            sa.Column("is_unproven", sa.Boolean(), nullable=False, server_default=sa.text("false"))
        )
    with op.batch_alter_table("attempt") as attempt:
        attempt.drop_index("ix_attempt_state_expires")
        attempt.add_column(
            sa.Column("allowed_until_us", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
        )
    op.execute("UPDATE attempt SET allowed_until_us = expires_at_us")
    with op.batch_alter_table("attempt") as attempt:
        attempt.alter_column("allowed_until_us", existing_type=sa.BigInteger(), server_default=None)
    _index_while("ix_task_open", "task", "state = 'bidding'", "id")
    _index_while("ix_task_open_type", "task", "state = 'bidding'", "type", "id")
    _index_while("ix_task_window", "task", "state = 'bidding'", "bids_close_at_us", "id")
    _index_while("ix_task_awarded_agent", "task", "state = 'awarded'", "awarded_agent_id", "id")
    _index_while("ix_task_awarded_at", "task", "state = 'awarded'", "awarded_at_us")
    _index_while("ix_task_deadline", "task", "ended_at_us IS NULL", "deadline_at_us")
    _index_while("ix_attempt_leased", "attempt", "state = 'leased'", "expires_at_us")


def _index_while(name: str, table: str, condition: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where)


def _create_tables() -> None:
    op.create_table(
        "agent_counterparty",
        sa.Column("agent_id", _identity64(), nullable=False),
        sa.Column("task_type", sa.String(64), nullable=False),
        sa.Column("requester_id", _identity64(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("at_job", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["requester_id"], ["agent.id"]),
        sa.PrimaryKeyConstraint("agent_id", "task_type", "requester_id"),
    )
    op.create_table(
        "agent_outcome",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("agent_id", _identity64(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("task_id", _identity64(), nullable=True),
        sa.Column("attempt_number", sa.Integer(), nullable=True),
        sa.Column("task_type", sa.String(64), nullable=True),
        sa.Column("requester_id", _identity64(), nullable=True),
        sa.Column("confidence_percent", sa.Integer(), nullable=True),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["requester_id"], ["agent.id"]),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_agent_outcome_agent", "agent_outcome", ["agent_id", "id"])
    op.create_index("ix_agent_outcome_task", "agent_outcome", ["task_id"])
    op.create_table(
        "entrant_record",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("successes", sa.Float(), nullable=False),
        sa.Column("failures", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """Take them away again; the journal is rebuilt from the transfers, demotion starts anew."""
    for table in ("entrant_record", "agent_outcome", "agent_counterparty"):
        op.drop_table(table)
    op.drop_index("ix_attempt_leased", table_name="attempt")
    for name in ("deadline", "awarded_at", "awarded_agent", "window", "open_type", "open"):
        op.drop_index(f"ix_task_{name}", table_name="task")
    with op.batch_alter_table("attempt") as attempt:
        attempt.drop_column("allowed_until_us")
        attempt.create_index("ix_attempt_state_expires", ["state", "expires_at_us"])
    with op.batch_alter_table("award") as award:
        award.drop_column("is_unproven")
    with op.batch_alter_table("bid") as bid:
        bid.drop_index("ix_bid_agent")
    with op.batch_alter_table("task") as task:
        task.drop_index("ix_task_type")
        task.drop_constraint(op.f("fk_task_retry_of_id_task"), type_="foreignkey")
        task.drop_column("workflow")
        task.drop_column("retry_of_id")
        task.create_index("ix_task_awarded_agent", ["awarded_agent_id", "state"])
        task.create_index("ix_task_open", ["state", "bids_close_at_us"])
        task.create_index("ix_task_type_state", ["type", "state", "id"])
    with op.batch_alter_table("agent") as agent:
        for name in ("suspended_at_us", *AGENT_WEIGHTS, *AGENT_COUNTS):
            agent.drop_column(name)
        agent.add_column(sa.Column("standing_log_e", sa.Float(), nullable=False, server_default=sa.text("0")))
    with op.batch_alter_table("transfer") as transfer:
        transfer.drop_constraint(op.f("ck_transfer_two_accounts"), type_="check")
        transfer.drop_constraint(op.f("ck_transfer_amount_positive"), type_="check")
    with op.batch_alter_table("account") as account:
        account.drop_column("unit")
    for table, name in MONEY:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(name, new_column_name=f"{name}_microcredits", existing_type=sa.BigInteger())
    _restore_journal()


def _restore_journal() -> None:
    op.create_table(
        "journal_entry",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("transfer_id", _identity64(), nullable=False),
        sa.Column("account_id", _identity64(), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"]),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfer.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_journal_entry_account_id", "journal_entry", ["account_id"])
    op.create_index("ix_journal_entry_transfer_id", "journal_entry", ["transfer_id"])
    op.execute(JOURNAL)
