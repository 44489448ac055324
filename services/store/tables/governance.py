"""Tables of layers 5 to 7: parameters, proposals and ballots, experiments and exposures, the ledger.

Migrations build exactly this (`alembic check` is the drift gate). It never holds behaviour: queries live in
one module per aggregate, decisions in `services.domain`.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.store.tables.columns import Identity64, identity, instant, metadata, reference

FIRST_RULES = """'{"threshold_percent": 51, "minimum_ballots": 3}'"""
"""The rule of votes that were opened before proposals kept theirs, as JSON in SQL."""

parameter = Table(
    "parameter",
    metadata,
    Column("name", String(96), primary_key=True),
    Column("value", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("source", String(16), nullable=False),
    Column("declaration", JSON, nullable=True),
    instant("changed_at_us"),
)

parameter_change = Table(
    "parameter_change",
    metadata,
    identity(),
    Column("name", String(96), ForeignKey("parameter.name"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("value", Text, nullable=False),
    Column("source", String(16), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("experiment_id", BigInteger, nullable=True),
    Column("ledger_index", BigInteger, nullable=True),
    Column("reason", Text, nullable=True),
    instant("changed_at_us"),
    UniqueConstraint("name", "version"),
)

proposal = Table(
    "proposal",
    metadata,
    identity(),
    reference("lap.id", "lap_id", nullable=True),
    reference("task.id", "meta_task_id", nullable=True),
    reference("agent.id", "proposer_id"),
    Column("parameter", String(96), nullable=False),
    Column("from_value", Text, nullable=False),
    Column("to_value", Text, nullable=False),
    Column("from_version", Integer, nullable=False),
    Column("metric", String(48), nullable=False),
    Column("expected_effect", String(32), nullable=False),
    Column("cap_tasks", Integer, nullable=False),
    Column("cap_days", Integer, nullable=False),
    Column("admission_tasks", Integer, nullable=False),
    Column("base_rate", Float, nullable=False),
    Column("root_cause", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("risk", String(8), nullable=False),
    Column("scope", String(8), nullable=False, server_default=text("'task'")),
    Column("guardrails", JSON, nullable=False, server_default=text("'[]'")),
    Column("units_per_day", Float, nullable=True),
    Column("electorate_mode", String(8), nullable=False, server_default=text("'agent'")),
    Column("conflicts", JSON, nullable=False, server_default=text("'{}'")),
    Column("rules", JSON, nullable=False, server_default=text(FIRST_RULES)),
    Column("format", Integer, nullable=False, server_default=text("2")),
    Column("state", String(16), nullable=False),
    Column("yes", Integer, nullable=False),
    Column("no", Integer, nullable=False),
    Column("abstain", Integer, nullable=False),
    Column("electorate", Integer, nullable=False),
    instant("opened_at_us"),
    instant("minimum_until_us"),
    instant("closes_at_us"),
    instant("extended_from_us", nullable=True),
    instant("decided_at_us", nullable=True),
    instant("ended_at_us", nullable=True),
    Column("end_reason", String(120), nullable=True),
    Index("ix_proposal_content_hash", "content_hash"),
    Index(
        "uq_proposal_live",
        "parameter",
        unique=True,
        sqlite_where=text("state IN ('open', 'review', 'passed', 'testing')"),
        postgresql_where=text("state IN ('open', 'review', 'passed', 'testing')"),
    ),
)

elector = Table(
    "elector",
    metadata,
    Column("proposal_id", Identity64, ForeignKey("proposal.id"), primary_key=True),
    Column("agent_id", Identity64, ForeignKey("agent.id"), primary_key=True),
    Column("unit", String(96), nullable=False),
)

ballot = Table(
    "ballot",
    metadata,
    identity(),
    reference("proposal.id", "proposal_id"),
    reference("agent.id", "agent_id"),
    Column("unit", String(96), nullable=False),
    Column("choice", String(8), nullable=False),
    Column("forecast_percent", Integer, nullable=True),
    Column("reason", Text, nullable=False),
    Column("brier", Float, nullable=True),
    instant("cast_at_us"),
    UniqueConstraint("proposal_id", "agent_id"),
    UniqueConstraint("proposal_id", "unit"),
)

review_gate = Table(
    "review_gate",
    metadata,
    identity(),
    reference("proposal.id", "proposal_id"),
    Column("shown_sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reviewer", String(80), nullable=True),
    Column("reason", Text, nullable=True),
    Column("ledger_index", BigInteger, nullable=False),
    instant("opened_at_us"),
    instant("expires_at_us"),
    instant("decided_at_us", nullable=True),
    UniqueConstraint("proposal_id"),
)


def leg_columns() -> list[Column[Any]]:
    """Return the columns of one leg of an experiment; trial and probation are kept alike."""
    return [
        Column("plan", JSON, nullable=False),
        Column("salt", String(64), nullable=False),
        Column("salt_commitment", String(64), nullable=False),
        Column("bet_state", JSON, nullable=False),
        Column("verdict", String(16), nullable=True),
        Column("reason", String(120), nullable=True),
        Column("estimate", Float, nullable=True),
        Column("lower", Float, nullable=True),
        Column("upper", Float, nullable=True),
        Column("records_sha256", String(64), nullable=True),
        instant("started_at_us"),
        instant("closes_at_us"),
        instant("ended_at_us", nullable=True),
    ]


experiment = Table(
    "experiment",
    metadata,
    identity(),
    Column("kind", String(8), nullable=False, server_default=text("'change'")),
    reference("proposal.id", "proposal_id", nullable=True),
    reference("lap.id", "lap_id", nullable=True),
    Column("parameter", String(96), nullable=False),
    Column("task_type", String(64), nullable=False),
    Column("layer", String(96), nullable=False, server_default=text("''")),
    Column("scope", String(8), nullable=False, server_default=text("'task'")),
    Column("window_us", BigInteger, nullable=False, server_default=text("0")),
    Column("control_value", Text, nullable=False),
    Column("treatment_value", Text, nullable=False),
    Column("control_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("assigned_count", Integer, nullable=False),
    Column("treatment_share", Float, nullable=False, server_default=text("0.5")),
    Column("stream_position", Integer, nullable=True),
    Column("confirm_alpha", Float, nullable=True),
    Column("known_after", Integer, nullable=True),
    Column("maximum_wait_us", BigInteger, nullable=False),
    *leg_columns(),
    UniqueConstraint("proposal_id"),
    Index(
        "uq_experiment_running",
        "parameter",
        unique=True,
        sqlite_where=text("state IN ('running', 'provisional', 'probation')"),
        postgresql_where=text("state IN ('running', 'provisional', 'probation')"),
    ),
)

probation = Table(
    "probation",
    metadata,
    Column("experiment_id", Identity64, ForeignKey("experiment.id"), primary_key=True),
    Column("first_ordinal", Integer, nullable=False),
    *leg_columns(),
)

epoch = Table(
    "epoch",
    metadata,
    identity(),
    Column("config", JSON, nullable=False),
    Column("share", Float, nullable=False),
    Column("salt", String(64), nullable=False),
    Column("salt_commitment", String(64), nullable=False),
    Column("ledger_index", BigInteger, nullable=False),
    instant("started_at_us"),
    instant("ended_at_us", nullable=True),
)

freeze = Table(
    "freeze",
    metadata,
    identity(),
    Column("reason", String(240), nullable=False),
    Column("ledger_index", BigInteger, nullable=False),
    instant("frozen_at_us"),
    instant("lifted_at_us", nullable=True),
    Column("lifted_by", String(80), nullable=True),
    Column("lift_reason", Text, nullable=True),
)

exposure = Table(
    "exposure",
    metadata,
    identity(),
    reference("experiment.id", "experiment_id"),
    reference("task.id", "task_id", index=True),
    Column("unit", String(64), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("arm", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("value", Text, nullable=False),
    Column("stratum", String(64), nullable=False),
    Column("outcome", Float, nullable=True),
    Column("is_resolved", Boolean, nullable=False, server_default=text("true")),
    Column("duration_seconds", Float, nullable=True),
    Column("cost_microcredits", BigInteger, nullable=True),
    Column("is_folded", Boolean, nullable=False),
    Column("log_e", Float, nullable=True),
    instant("assigned_at_us"),
    instant("resolved_at_us", nullable=True),
    UniqueConstraint("experiment_id", "task_id"),
    UniqueConstraint("experiment_id", "ordinal"),
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String(24), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("lap_id", BigInteger, nullable=True, index=True),
    instant("at_us"),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", String(64), nullable=False),
)

ledger_subject = Table(
    "ledger_subject",
    metadata,
    Column("subject", String(120), primary_key=True),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
)

ledger_node = Table(
    "ledger_node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", String(64), nullable=False),
    Column("note", Text, nullable=False),
    instant("signed_at_us"),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", JSON, nullable=False),
    Column("root", String(64), nullable=False),
    instant("at_us"),
)

blob = Table(
    "blob",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("content", LargeBinary, nullable=False),
    instant("erased_at_us", nullable=True),
)
