"""Tables of layers 1 to 3: deployment facts, outbox and deliveries, cron ticks, snapshots and episodes.

Migrations build exactly this (`alembic check` is the drift gate). It never holds behaviour: queries live in
one module per aggregate, decisions in `services.domain`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
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
        "next_attempt_at_us",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)

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
    instant("started_at_us"),
    instant("ended_at_us", nullable=True),
    Column("result", JSON, nullable=True),
    Column("error", Text, nullable=True),
    UniqueConstraint("job", "due_at_us"),
)

snapshot = Table(
    "snapshot",
    metadata,
    identity(),
    Column("metric", String(48), nullable=False),
    Column("dimension", String(24), nullable=False),
    Column("key", String(80), nullable=False),
    instant("window_start_us"),
    instant("window_end_us"),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    UniqueConstraint("metric", "dimension", "key", "window_end_us"),
)

episode = Table(
    "episode",
    metadata,
    identity(),
    Column("metric", String(48), nullable=False),
    Column("dimension", String(24), nullable=False),
    Column("key", String(80), nullable=False),
    Column("state", String(16), nullable=False),
    Column("rule", String(16), nullable=False),
    Column("numerator", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    Column("baseline_rate", Float, nullable=True),
    Column("p_value", Float, nullable=True),
    Column("evidence", JSON, nullable=False),
    reference("lap.id", "lap_id"),
    reference("task.id", "meta_task_id", nullable=True),
    instant("opened_at_us"),
    instant("closed_at_us", nullable=True),
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
