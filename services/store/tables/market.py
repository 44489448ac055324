"""Tables of layer 4: agents, money in double entry, laps, tasks and what happens to them.

Migrations build exactly this (`alembic check` is the drift gate). It never holds behaviour: queries live in
one module per aggregate, decisions in `services.domain`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from services.store.tables.columns import Identity64, identity, instant, metadata, reference


def _while_in(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    """Return an index over the rows that the condition holds for, and over no others."""
    where = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


agent = Table(
    "agent",
    metadata,
    identity(),
    Column("name", String(80), nullable=False, unique=True),
    Column("owner", String(80), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("standing", String(16), nullable=False),
    Column("is_vouched", Boolean, nullable=False),
    Column("model", String(80), nullable=True),
    Column("settled_jobs", Integer, nullable=False, server_default=text("0")),
    Column("verified_jobs", Integer, nullable=False, server_default=text("0")),
    Column("success_weight", Float, nullable=False, server_default=text("0")),
    Column("failure_weight", Float, nullable=False, server_default=text("0")),
    Column("trial_successes", Integer, nullable=False, server_default=text("0")),
    Column("trial_failures", Integer, nullable=False, server_default=text("0")),
    Column("consecutive_crashes", Integer, nullable=False, server_default=text("0")),
    Column("forecasts", Integer, nullable=False, server_default=text("0")),
    Column("brier_sum", Float, nullable=False, server_default=text("0")),
    Column("open_bids", Integer, nullable=False, server_default=text("0")),
    instant("registered_at_us"),
    instant("last_active_at_us"),
    instant("suspended_at_us", nullable=True),
)

agent_record = Table(
    "agent_record",
    metadata,
    Column("agent_id", Identity64, ForeignKey("agent.id"), primary_key=True),
    Column("task_type", String(64), primary_key=True),
    Column("success_weight", Float, nullable=False),
    Column("failure_weight", Float, nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("verified", Integer, nullable=False),
)

agent_counterparty = Table(
    "agent_counterparty",
    metadata,
    Column("agent_id", Identity64, ForeignKey("agent.id"), primary_key=True),
    Column("task_type", String(64), primary_key=True),
    Column("requester_id", Identity64, ForeignKey("agent.id"), primary_key=True),
    Column("weight", Float, nullable=False),
    Column("at_job", Integer, nullable=False),
)

agent_outcome = Table(
    "agent_outcome",
    metadata,
    identity(),
    reference("agent.id", "agent_id"),
    Column("kind", String(16), nullable=False),
    reference("task.id", "task_id", nullable=True),
    Column("attempt_number", Integer, nullable=True),
    Column("task_type", String(64), nullable=True),
    reference("agent.id", "requester_id", nullable=True),
    Column("confidence_percent", Integer, nullable=True),
    instant("recorded_at_us"),
    Index("ix_agent_outcome_agent", "agent_id", "id"),
    Index("ix_agent_outcome_task", "task_id"),
)

entrant_record = Table(
    "entrant_record",
    metadata,
    identity(),
    Column("successes", Float, nullable=False),
    Column("failures", Float, nullable=False),
)

account = Table(
    "account",
    metadata,
    identity(),
    Column("owner", String(80), nullable=False, unique=True),
    Column("unit", String(16), nullable=False, server_default=text("'microcredits'")),
    Column("balance", BigInteger, nullable=False),
    Column("is_overdraft_allowed", Boolean, nullable=False),
)

transfer = Table(
    "transfer",
    metadata,
    identity(),
    Column("kind", String(24), nullable=False),
    reference("task.id", "task_id", nullable=True, index=True),
    reference("account.id", "debit_account_id", index=True),
    reference("account.id", "credit_account_id", index=True),
    Column("amount", BigInteger, nullable=False),
    reference("budget_hold.id", "budget_hold_id", nullable=True),
    instant("created_at_us"),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
)

escrow = Table(
    "escrow",
    metadata,
    identity(),
    reference("task.id", "task_id", nullable=True),
    Column("purpose", String(16), nullable=False),
    Column("attempt_number", Integer, nullable=False),
    reference("account.id", "source_account_id"),
    Column("amount", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    reference("budget_hold.id", "budget_hold_id", nullable=True),
    UniqueConstraint("task_id", "purpose", "attempt_number"),
    CheckConstraint("(task_id IS NULL) <> (budget_hold_id IS NULL)", name="one_cause"),
    _while_in(
        "ix_escrow_budget_hold",
        "budget_hold_id IS NOT NULL",
        "budget_hold_id",
        "source_account_id",
        unique=True,
    ),
)

lap = Table(
    "lap",
    metadata,
    identity(),
    instant("opened_at_us"),
    instant("closed_at_us", nullable=True),
    Column("outcome", String(32), nullable=True),
)

task = Table(
    "task",
    metadata,
    identity(),
    Column("kind", String(8), nullable=False),
    Column("type", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    reference("agent.id", "requester_id", nullable=True),
    reference("lap.id", "lap_id", nullable=True),
    Column("public", JSON, nullable=False),
    Column("private", JSON, nullable=False),
    Column("reserve_price_microcredits", BigInteger, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("maximum_attempts", Integer, nullable=False),
    reference("agent.id", "awarded_agent_id", nullable=True),
    Column("model", String(80), nullable=True),
    Column("effective_values", JSON, nullable=True),
    Column("is_holdout", Boolean, nullable=False, server_default=text("false")),
    instant("posted_at_us"),
    instant("bids_close_at_us"),
    instant("awarded_at_us", nullable=True),
    instant("deadline_at_us"),
    instant("ended_at_us", nullable=True),
    Column("end_reason", String(64), nullable=True),
    Column("duration_us", BigInteger, nullable=True),
    Column("paid_microcredits", BigInteger, nullable=True),
    reference("task.id", "retry_of_id", nullable=True),
    Column("workflow", String(80), nullable=True),
    _while_in("ix_task_open", "state = 'bidding'", "id"),
    _while_in("ix_task_open_type", "state = 'bidding'", "type", "id"),
    _while_in("ix_task_window", "state = 'bidding'", "bids_close_at_us", "id"),
    _while_in("ix_task_awarded_agent", "state = 'awarded'", "awarded_agent_id", "id"),
    _while_in("ix_task_awarded_at", "state = 'awarded'", "awarded_at_us"),
    _while_in("ix_task_deadline", "ended_at_us IS NULL", "deadline_at_us"),
    _while_in("ix_task_requester", "ended_at_us IS NULL AND requester_id IS NOT NULL", "requester_id"),
    _while_in("ix_task_workflow", "workflow IS NOT NULL", "workflow", "id"),
    Index("ix_task_ended", "ended_at_us"),
    Index("ix_task_posted", "posted_at_us"),
    Index("ix_task_type", "type", "id"),
    Index(
        "uq_task_retry_of",
        "retry_of_id",
        unique=True,
        sqlite_where=text("retry_of_id IS NOT NULL"),
        postgresql_where=text("retry_of_id IS NOT NULL"),
    ),
)

bid = Table(
    "bid",
    metadata,
    identity(),
    reference("task.id", "task_id"),
    reference("agent.id", "agent_id"),
    Column("ask_microcredits", BigInteger, nullable=False),
    Column("confidence_percent", Integer, nullable=True),
    instant("placed_at_us"),
    UniqueConstraint("task_id", "agent_id"),
    Index("ix_bid_agent", "agent_id", "id"),
)

award = Table(
    "award",
    metadata,
    identity(),
    reference("task.id", "task_id"),
    Column("attempt_number", Integer, nullable=False),
    reference("agent.id", "agent_id"),
    Column("rule", String(32), nullable=False),
    Column("seed", String(64), nullable=False),
    Column("price_microcredits", BigInteger, nullable=False),
    Column("stake_microcredits", BigInteger, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("is_unproven", Boolean, nullable=False, server_default=text("false")),
    instant("awarded_at_us"),
    UniqueConstraint("task_id", "attempt_number"),
)

attempt = Table(
    "attempt",
    metadata,
    identity(),
    reference("task.id", "task_id"),
    reference("agent.id", "agent_id"),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    instant("leased_at_us"),
    instant("allowed_until_us"),
    instant("expires_at_us"),
    instant("heartbeat_at_us"),
    instant("submitted_at_us", nullable=True),
    instant("ended_at_us", nullable=True),
    Column("handoff", JSON, nullable=True),
    Column("verification", JSON, nullable=True),
    Column("reason", String(64), nullable=True),
    UniqueConstraint("task_id", "number"),
    _while_in("ix_attempt_leased", "state = 'leased'", "expires_at_us"),
)

late_result = Table(
    "late_result",
    metadata,
    identity(),
    reference("task.id", "task_id", index=True),
    reference("agent.id", "agent_id"),
    Column("fencing_token", BigInteger, nullable=False),
    Column("handoff", JSON, nullable=False),
    Column("reason", String(64), nullable=False),
    instant("received_at_us"),
)
