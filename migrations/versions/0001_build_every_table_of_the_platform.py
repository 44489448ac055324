"""Build every table of the platform.

Revision: 0001, after .
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


IMMUTABLE = "ledger_entry"


def forbid_changes() -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of ledger entries in the database itself."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {IMMUTABLE}_no_{verb.lower()} BEFORE {verb} ON {IMMUTABLE} "
                f"BEGIN SELECT RAISE(ABORT, 'ledger entries are append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'ledger entries are append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {IMMUTABLE}_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {IMMUTABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()"
    )


def allow_changes() -> None:
    """Take the triggers away, so that the tables can be dropped."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(f"DROP TRIGGER {IMMUTABLE}_no_{verb}")
        return
    op.execute(f"DROP TRIGGER {IMMUTABLE}_immutable ON {IMMUTABLE}")
    op.execute("DROP FUNCTION refuse_ledger_change()")


def upgrade() -> None:
    """Build what this revision adds."""
    op.create_table(
        "account",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("balance_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("is_overdraft_allowed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("owner", name=op.f("uq_account_owner")),
    )
    op.create_table(
        "agent",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("standing", sa.String(length=16), nullable=False),
        sa.Column("is_vouched", sa.Boolean(), nullable=False),
        sa.Column("settled_jobs", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("verified_jobs", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("standing_log_e", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("registered_at_us", sa.BigInteger(), nullable=False),
        sa.Column("last_active_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_agent_key_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_agent_name")),
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob")),
    )
    op.create_table(
        "cron_tick",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("due_at_us", sa.BigInteger(), nullable=False),
        sa.Column("claimed_by", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("budget_us", sa.BigInteger(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cron_tick")),
        sa.UniqueConstraint("job", "due_at_us", name=op.f("uq_cron_tick_job_due_at_us")),
    )
    op.create_table(
        "deployment",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_deployment")),
    )
    op.create_table(
        "event",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("type", sa.String(length=48), nullable=False),
        sa.Column("aggregate", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("lap_id", sa.BigInteger(), nullable=True),
        sa.Column("published_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "lap",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lap")),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=24), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("lap_id", sa.BigInteger(), nullable=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("index", name=op.f("pk_ledger_entry")),
    )
    with op.batch_alter_table("ledger_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_entry_lap_id"), ["lap_id"], unique=False)

    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.JSON(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "parameter",
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("changed_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_parameter")),
    )
    op.create_table(
        "review_item",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_item")),
    )
    op.create_table(
        "snapshot",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("metric", sa.String(length=48), nullable=False),
        sa.Column("dimension", sa.String(length=24), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("window_start_us", sa.BigInteger(), nullable=False),
        sa.Column("window_end_us", sa.BigInteger(), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint(
            "metric",
            "dimension",
            "key",
            "window_end_us",
            name=op.f("uq_snapshot_metric_dimension_key_window_end_us"),
        ),
    )
    op.create_table(
        "agent_record",
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_type", sa.String(length=64), nullable=False),
        sa.Column("success_weight", sa.Float(), nullable=False),
        sa.Column("failure_weight", sa.Float(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("verified", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_agent_record_agent_id_agent")),
        sa.PrimaryKeyConstraint("agent_id", "task_type", name=op.f("pk_agent_record")),
    )
    op.create_table(
        "delivery",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subscriber", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at_us", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_delivery_event_id_event")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("event_id", "subscriber", name=op.f("uq_delivery_event_id_subscriber")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_pending",
            ["next_attempt_at_us"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )

    op.create_table(
        "parameter_change",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=True),
        sa.Column("ledger_index", sa.BigInteger(), nullable=True),
        sa.Column("changed_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name"], ["parameter.name"], name=op.f("fk_parameter_change_name_parameter")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parameter_change")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_parameter_change_name_version")),
    )
    op.create_table(
        "task",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("requester_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("lap_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("public", sa.JSON(), nullable=False),
        sa.Column("private", sa.JSON(), nullable=False),
        sa.Column("reserve_price_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("maximum_attempts", sa.Integer(), nullable=False),
        sa.Column("awarded_agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("effective_values", sa.JSON(), nullable=True),
        sa.Column("posted_at_us", sa.BigInteger(), nullable=False),
        sa.Column("bids_close_at_us", sa.BigInteger(), nullable=False),
        sa.Column("awarded_at_us", sa.BigInteger(), nullable=True),
        sa.Column("deadline_at_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=64), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("paid_microcredits", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["awarded_agent_id"], ["agent.id"], name=op.f("fk_task_awarded_agent_id_agent")
        ),
        sa.ForeignKeyConstraint(["lap_id"], ["lap.id"], name=op.f("fk_task_lap_id_lap")),
        sa.ForeignKeyConstraint(["requester_id"], ["agent.id"], name=op.f("fk_task_requester_id_agent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index("ix_task_awarded_agent", ["awarded_agent_id", "state"], unique=False)
        batch_op.create_index("ix_task_ended", ["ended_at_us"], unique=False)
        batch_op.create_index("ix_task_open", ["state", "bids_close_at_us"], unique=False)
        batch_op.create_index("ix_task_type_state", ["type", "state", "id"], unique=False)

    op.create_table(
        "attempt",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("leased_at_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at_us", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.Column("handoff", sa.JSON(), nullable=True),
        sa.Column("verification", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_attempt_agent_id_agent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_attempt_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("task_id", "number", name=op.f("uq_attempt_task_id_number")),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.create_index("ix_attempt_state_expires", ["state", "expires_at_us"], unique=False)

    op.create_table(
        "award",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("seed", sa.String(length=64), nullable=False),
        sa.Column("price_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("stake_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("awarded_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_award_agent_id_agent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_award_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_award")),
        sa.UniqueConstraint("task_id", "attempt_number", name=op.f("uq_award_task_id_attempt_number")),
    )
    op.create_table(
        "bid",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ask_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("confidence_percent", sa.Integer(), nullable=True),
        sa.Column("placed_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_bid_agent_id_agent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_bid_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bid")),
        sa.UniqueConstraint("task_id", "agent_id", name=op.f("uq_bid_task_id_agent_id")),
    )
    op.create_table(
        "episode",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("metric", sa.String(length=48), nullable=False),
        sa.Column("dimension", sa.String(length=24), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rule", sa.String(length=16), nullable=False),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        sa.Column("baseline_rate", sa.Float(), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("lap_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("meta_task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["lap_id"], ["lap.id"], name=op.f("fk_episode_lap_id_lap")),
        sa.ForeignKeyConstraint(["meta_task_id"], ["task.id"], name=op.f("fk_episode_meta_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episode")),
    )
    with op.batch_alter_table("episode", schema=None) as batch_op:
        batch_op.create_index(
            "uq_episode_open",
            ["metric", "dimension", "key"],
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.create_table(
        "escrow",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("source_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_account_id"], ["account.id"], name=op.f("fk_escrow_source_account_id_account")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_escrow_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrow")),
        sa.UniqueConstraint(
            "task_id", "purpose", "attempt_number", name=op.f("uq_escrow_task_id_purpose_attempt_number")
        ),
    )
    op.create_table(
        "late_result",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("handoff", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("received_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_late_result_agent_id_agent")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_late_result_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_result")),
    )
    with op.batch_alter_table("late_result", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_late_result_task_id"), ["task_id"], unique=False)

    op.create_table(
        "proposal",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("lap_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("meta_task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("proposer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parameter", sa.String(length=96), nullable=False),
        sa.Column("from_value", sa.Text(), nullable=False),
        sa.Column("to_value", sa.Text(), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(length=48), nullable=False),
        sa.Column("expected_effect", sa.String(length=32), nullable=False),
        sa.Column("cap_tasks", sa.Integer(), nullable=False),
        sa.Column("cap_days", sa.Integer(), nullable=False),
        sa.Column("admission_tasks", sa.Integer(), nullable=False),
        sa.Column("base_rate", sa.Float(), nullable=False),
        sa.Column("root_cause", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("risk", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("yes", sa.Integer(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("abstain", sa.Integer(), nullable=False),
        sa.Column("electorate", sa.Integer(), nullable=False),
        sa.Column("opened_at_us", sa.BigInteger(), nullable=False),
        sa.Column("minimum_until_us", sa.BigInteger(), nullable=False),
        sa.Column("closes_at_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_at_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(["lap_id"], ["lap.id"], name=op.f("fk_proposal_lap_id_lap")),
        sa.ForeignKeyConstraint(["meta_task_id"], ["task.id"], name=op.f("fk_proposal_meta_task_id_task")),
        sa.ForeignKeyConstraint(["proposer_id"], ["agent.id"], name=op.f("fk_proposal_proposer_id_agent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
    )
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.create_index("ix_proposal_content_hash", ["content_hash"], unique=False)
        batch_op.create_index(
            "uq_proposal_live",
            ["parameter"],
            unique=True,
            sqlite_where=sa.text("state IN ('open', 'passed', 'testing')"),
            postgresql_where=sa.text("state IN ('open', 'passed', 'testing')"),
        )

    op.create_table(
        "transfer",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("debit_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("credit_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credit_account_id"], ["account.id"], name=op.f("fk_transfer_credit_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["debit_account_id"], ["account.id"], name=op.f("fk_transfer_debit_account_id_account")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_transfer_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
    )
    with op.batch_alter_table("transfer", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_transfer_credit_account_id"), ["credit_account_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_transfer_debit_account_id"), ["debit_account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_transfer_task_id"), ["task_id"], unique=False)

    op.create_table(
        "ballot",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("proposal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("forecast_percent", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("brier", sa.Float(), nullable=True),
        sa.Column("cast_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_ballot_agent_id_agent")),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_ballot_proposal_id_proposal")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ballot")),
        sa.UniqueConstraint("proposal_id", "agent_id", name=op.f("uq_ballot_proposal_id_agent_id")),
    )
    op.create_table(
        "elector",
        sa.Column("proposal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("agent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_elector_agent_id_agent")),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_elector_proposal_id_proposal")
        ),
        sa.PrimaryKeyConstraint("proposal_id", "agent_id", name=op.f("pk_elector")),
    )
    op.create_table(
        "experiment",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("proposal_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lap_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("parameter", sa.String(length=96), nullable=False),
        sa.Column("task_type", sa.String(length=64), nullable=False),
        sa.Column("control_value", sa.Text(), nullable=False),
        sa.Column("treatment_value", sa.Text(), nullable=False),
        sa.Column("control_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=120), nullable=True),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("salt_commitment", sa.String(length=64), nullable=False),
        sa.Column("assigned_count", sa.Integer(), nullable=False),
        sa.Column("bet_state", sa.JSON(), nullable=False),
        sa.Column("maximum_wait_us", sa.BigInteger(), nullable=False),
        sa.Column("estimate", sa.Float(), nullable=True),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.Column("records_sha256", sa.String(length=64), nullable=True),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closes_at_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["lap_id"], ["lap.id"], name=op.f("fk_experiment_lap_id_lap")),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_experiment_proposal_id_proposal")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_experiment_proposal_id")),
    )
    with op.batch_alter_table("experiment", schema=None) as batch_op:
        batch_op.create_index(
            "uq_experiment_running",
            ["parameter"],
            unique=True,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )

    op.create_table(
        "journal_entry",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("transfer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_microcredits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_journal_entry_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfer.id"], name=op.f("fk_journal_entry_transfer_id_transfer")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entry")),
    )
    with op.batch_alter_table("journal_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_journal_entry_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_journal_entry_transfer_id"), ["transfer_id"], unique=False)

    op.create_table(
        "exposure",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("experiment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("stratum", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.Float(), nullable=True),
        sa.Column("is_folded", sa.Boolean(), nullable=False),
        sa.Column("log_e", sa.Float(), nullable=True),
        sa.Column("assigned_at_us", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_exposure_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_exposure_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exposure")),
        sa.UniqueConstraint("experiment_id", "ordinal", name=op.f("uq_exposure_experiment_id_ordinal")),
        sa.UniqueConstraint("experiment_id", "task_id", name=op.f("uq_exposure_experiment_id_task_id")),
    )
    with op.batch_alter_table("exposure", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_exposure_task_id"), ["task_id"], unique=False)
    forbid_changes()


def downgrade() -> None:
    """Take it away again."""
    allow_changes()
    with op.batch_alter_table("exposure", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_exposure_task_id"))

    op.drop_table("exposure")
    with op.batch_alter_table("journal_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_journal_entry_transfer_id"))
        batch_op.drop_index(batch_op.f("ix_journal_entry_account_id"))

    op.drop_table("journal_entry")
    with op.batch_alter_table("experiment", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_experiment_running",
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )

    op.drop_table("experiment")
    op.drop_table("elector")
    op.drop_table("ballot")
    with op.batch_alter_table("transfer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_transfer_task_id"))
        batch_op.drop_index(batch_op.f("ix_transfer_debit_account_id"))
        batch_op.drop_index(batch_op.f("ix_transfer_credit_account_id"))

    op.drop_table("transfer")
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_proposal_live",
            sqlite_where=sa.text("state IN ('open', 'passed', 'testing')"),
            postgresql_where=sa.text("state IN ('open', 'passed', 'testing')"),
        )
        batch_op.drop_index("ix_proposal_content_hash")

    op.drop_table("proposal")
    with op.batch_alter_table("late_result", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_late_result_task_id"))

    op.drop_table("late_result")
    op.drop_table("escrow")
    with op.batch_alter_table("episode", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_episode_open",
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.drop_table("episode")
    op.drop_table("bid")
    op.drop_table("award")
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index("ix_attempt_state_expires")

    op.drop_table("attempt")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_index("ix_task_type_state")
        batch_op.drop_index("ix_task_open")
        batch_op.drop_index("ix_task_ended")
        batch_op.drop_index("ix_task_awarded_agent")

    op.drop_table("task")
    op.drop_table("parameter_change")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_pending",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )

    op.drop_table("delivery")
    op.drop_table("agent_record")
    op.drop_table("snapshot")
    op.drop_table("review_item")
    op.drop_table("parameter")
    op.drop_table("ledger_head")
    with op.batch_alter_table("ledger_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_entry_lap_id"))

    op.drop_table("ledger_entry")
    op.drop_table("lap")
    op.drop_table("idempotency")
    op.drop_table("event")
    op.drop_table("deployment")
    op.drop_table("cron_tick")
    op.drop_table("blob")
    op.drop_table("agent")
    op.drop_table("account")
