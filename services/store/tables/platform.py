"""Tables of layers 1 to 3: deployment, outbox, deliveries, webhooks, cron, snapshots, episodes, health.

Migrations build exactly this (`alembic check` is the drift gate). It never holds behaviour: queries live in
one module per aggregate, decisions in `services.domain`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.store.tables.columns import identity, instant, metadata, reference

deployment = Table(
    "deployment",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

event = Table(
    "event",
    metadata,
    identity(),
    Column("type", String(48), nullable=False),
    Column("aggregate", String(64), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("lap_id", BigInteger, nullable=True),
    instant("published_at_us"),
)

delivery = Table(
    "delivery",
    metadata,
    identity(),
    reference("event.id", "event_id"),
    Column("subscriber", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    instant("next_attempt_at_us"),
    instant("delivered_at_us", nullable=True),
    Column("last_error", Text, nullable=True),
    UniqueConstraint("event_id", "subscriber"),
    Index(
        "ix_delivery_pending",
        "event_id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_delivery_failing",
        "event_id",
        sqlite_where=text("state = 'pending' AND attempts > 0"),
        postgresql_where=text("state = 'pending' AND attempts > 0"),
    ),
    Index(
        "ix_delivery_dead",
        "id",
        sqlite_where=text("state = 'dead'"),
        postgresql_where=text("state = 'dead'"),
    ),
)

webhook = Table(
    "webhook",
    metadata,
    identity(),
    Column("url", Text, nullable=False),
    Column("types", JSON, nullable=False),
    Column("description", String(200), nullable=False),
    Column("secret_version", Integer, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("pause_reason", String(200), nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    instant("quiet_until_us", nullable=True),
    Column("behind_id", BigInteger, nullable=True),
    instant("rotated_at_us", nullable=True),
    Column("created_by", String(80), nullable=False),
    instant("created_at_us"),
    instant("deleted_at_us", nullable=True),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    identity(),
    reference("webhook.id", "webhook_id"),
    Column("event_id", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    instant("next_attempt_at_us"),
    instant("created_at_us"),
    instant("delivered_at_us", nullable=True),
    Column("last_status", Integer, nullable=True),
    Column("last_error", Text, nullable=True),
    UniqueConstraint("webhook_id", "event_id"),
    Index(
        "ix_webhook_delivery_pending",
        "webhook_id",
        "next_attempt_at_us",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_webhook_delivery_dead",
        "id",
        sqlite_where=text("state = 'dead'"),
        postgresql_where=text("state = 'dead'"),
    ),
)

feed_mark = Table(
    "feed_mark",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("marks", JSON, nullable=False),
    instant("changed_at_us"),
)
"""How far a reader that follows a table by its ids has come; one row a reader."""

cron_tick = Table(
    "cron_tick",
    metadata,
    identity(),
    Column("job", String(64), nullable=False),
    instant("due_at_us"),
    Column("claimed_by", String(80), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("budget_us", BigInteger, nullable=False),
    Column("trigger", String(12), nullable=False, server_default=text("'clock'")),
    Column("reason", Text, nullable=True),
    instant("started_at_us"),
    instant("ended_at_us", nullable=True),
    Column("result", JSON, nullable=True),
    Column("error", Text, nullable=True),
    UniqueConstraint("job", "due_at_us"),
    Index("ix_cron_tick_ended", "ended_at_us"),
)

cron_job = Table(
    "cron_job",
    metadata,
    Column("job", String(64), primary_key=True),
    Column("is_paused", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_by", String(80), nullable=False),
    instant("changed_at_us"),
    instant("run_asked_at_us", nullable=True),
    Column("run_asked_by", String(80), nullable=True),
    Column("run_reason", Text, nullable=True),
)
"""What an operator has said of a job; a job without a row runs by its table."""

observation = Table(
    "observation",
    metadata,
    identity(),
    Column("kind", String(12), nullable=False),
    instant("at_us"),
    Column("task_type", String(64), nullable=True),
    Column("agent_id", BigInteger, nullable=True),
    Column("model", String(80), nullable=True),
    Column("is_success", Boolean, nullable=True),
    Column("is_timeout", Boolean, nullable=True),
    Column("duration_us", BigInteger, nullable=True),
    Column("wait_us", BigInteger, nullable=True),
    Column("paid_microcredits", BigInteger, nullable=True),
)
"""What happened since the last snapshot, one row each; the snapshot counts a row once and deletes it."""

snapshot = Table(
    "snapshot",
    metadata,
    identity(),
    Column("metric", String(48), nullable=False),
    Column("dimension", String(24), nullable=False),
    Column("key", String(80), nullable=False),
    Column("grain", String(8), nullable=False, server_default=text("'window'")),
    instant("window_start_us"),
    instant("window_end_us"),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    Column("squares", Float, nullable=True),
    Column("lowest", BigInteger, nullable=True),
    Column("highest", BigInteger, nullable=True),
    Column("histogram", JSON, nullable=True),
    Column("corrections", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("metric", "dimension", "key", "grain", "window_end_us"),
    Index("ix_snapshot_window", "grain", "window_end_us"),
)

snapshot_correction = Table(
    "snapshot_correction",
    metadata,
    identity(),
    Column("metric", String(48), nullable=False),
    Column("dimension", String(24), nullable=False),
    Column("key", String(80), nullable=False),
    instant("window_end_us"),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    instant("corrected_at_us"),
    Index("ix_snapshot_correction_window", "window_end_us"),
)
"""What was added to a window after it was published, because its events were committed late."""

episode = Table(
    "episode",
    metadata,
    identity(),
    Column("metric", String(48), nullable=False),
    Column("dimension", String(24), nullable=False),
    Column("key", String(80), nullable=False),
    Column("state", String(16), nullable=False),
    Column("kind", String(12), nullable=False, server_default=text("'proportion'")),
    Column("shape", String(8), nullable=True),
    Column("rule", String(16), nullable=False),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    Column("baseline_rate", Float, nullable=True),
    Column("p_value", Float, nullable=True),
    Column("evidence", JSON, nullable=False),
    reference("lap.id", "lap_id"),
    reference("task.id", "meta_task_id", nullable=True),
    instant("began_at_us", nullable=True),
    instant("opened_at_us"),
    instant("updated_at_us", nullable=True),
    instant("closed_at_us", nullable=True),
    Column("accepted_ledger_index", BigInteger, nullable=True),
    Index(
        "uq_episode_open",
        "metric",
        "dimension",
        "key",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", String(80), primary_key=True),
    Column("key", String(120), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    instant("created_at_us"),
)

review_item = Table(
    "review_item",
    metadata,
    identity(),
    Column("kind", String(32), nullable=False),
    Column("subject", String(120), nullable=False),
    Column("context", JSON, nullable=False),
    instant("opened_at_us"),
    instant("closed_at_us", nullable=True),
)

pattern = Table(
    "pattern",
    metadata,
    identity(),
    Column("kind", String(16), nullable=False),
    Column("key", String(160), nullable=False),
    Column("task_type", String(64), nullable=False),
    Column("agent_id", BigInteger, nullable=True),
    Column("signature", String(64), nullable=True),
    Column("facts", JSON, nullable=False),
    Column("tasks", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("days", Integer, nullable=False),
    instant("first_seen_us"),
    instant("last_seen_us"),
    UniqueConstraint("kind", "key"),
    Index("ix_pattern_type", "task_type", "kind"),
)
"""What the nightly consolidation has learned and keeps."""

health_check = Table(
    "health_check",
    metadata,
    identity(),
    Column("layer", String(16), nullable=False),
    Column("component", String(96), nullable=False),
    Column("measurement", String(48), nullable=False),
    Column("status", String(8), nullable=False),
    Column("observed", Float, nullable=True),
    Column("unit", String(16), nullable=True),
    Column("output", Text, nullable=True),
    instant("checked_at_us"),
    instant("failing_since_us", nullable=True),
    UniqueConstraint("layer", "component", "measurement"),
)
"""The newest answer of each check of readiness and correctness."""

report_schedule = Table(
    "report_schedule",
    metadata,
    identity(),
    Column("name", String(80), nullable=False),
    Column("period", String(8), nullable=False),
    Column("formats", JSON, nullable=False),
    Column("is_announced", Boolean, nullable=False),
    Column("last_error", Text, nullable=True),
    Column("created_by", String(80), nullable=False),
    instant("created_at_us"),
    instant("next_at_us"),
    instant("deleted_at_us", nullable=True),
    Index(
        "uq_report_schedule_name",
        "name",
        unique=True,
        sqlite_where=text("deleted_at_us IS NULL"),
        postgresql_where=text("deleted_at_us IS NULL"),
    ),
)

report_delivery = Table(
    "report_delivery",
    metadata,
    identity(),
    reference("report_schedule.id", "schedule_id"),
    instant("from_us"),
    instant("to_us"),
    Column("ledger_size", BigInteger, nullable=False),
    Column("files", JSON, nullable=False),
    instant("delivered_at_us"),
    UniqueConstraint("schedule_id", "to_us"),
)
