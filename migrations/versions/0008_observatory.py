"""Give the observatory its queue of observations, kinds of metrics, corrections and shapes of episodes.

With them come webhooks, what operators say of jobs, patterns of the night, and the checks of health.
Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERIES = ["metric", "dimension", "key", "window_end_us"]
GRAINED = ["metric", "dimension", "key", "grain", "window_end_us"]
PARTIAL = {
    "ix_delivery_failing": ("delivery", "event_id", "state = 'pending' AND attempts > 0"),
    "ix_delivery_dead": ("delivery", "id", "state = 'dead'"),
    "ix_webhook_delivery_dead": ("webhook_delivery", "id", "state = 'dead'"),
}
PLAIN = {
    "ix_task_posted": ("task", "posted_at_us"),
    "ix_cron_tick_ended": ("cron_tick", "ended_at_us"),
    "ix_snapshot_correction_window": ("snapshot_correction", "window_end_us"),
}
TABLES = (
    "health_check",
    "pattern",
    "snapshot_correction",
    "observation",
    "cron_job",
    "feed_mark",
    "webhook_delivery",
    "webhook",
)


def upgrade() -> None:
    """Create the tables, columns and indexes."""
    _create_webhooks()
    _create_observing()
    _create_knowledge()
    _alter_snapshots()
    with op.batch_alter_table("episode") as episode:
        episode.add_column(_words("kind", 12, default="proportion"))
        episode.add_column(sa.Column("shape", sa.String(8), nullable=True))
        for name in ("began_at_us", "updated_at_us", "accepted_ledger_index"):
            episode.add_column(sa.Column(name, sa.BigInteger(), nullable=True))
    with op.batch_alter_table("cron_tick") as tick:
        tick.add_column(_words("trigger", 12, default="clock"))
        tick.add_column(sa.Column("reason", sa.Text(), nullable=True))
    for table in ("agent", "task"):
        op.add_column(table, sa.Column("model", sa.String(80), nullable=True))
    for name, (table, column) in PLAIN.items():
        op.create_index(name, table, [column])
    for name, (table, column, condition) in PARTIAL.items():
        where = sa.text(condition)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
    _index_pending_by("event_id")


def downgrade() -> None:
    """Take it all away again."""
    _index_pending_by("next_attempt_at_us")
    for name, (table, *_) in {**PARTIAL, **PLAIN}.items():
        op.drop_index(name, table_name=table)
    for table in ("agent", "task"):
        with op.batch_alter_table(table) as altered:
            altered.drop_column("model")
    with op.batch_alter_table("cron_tick") as tick:
        tick.drop_column("reason")
        tick.drop_column("trigger")
    with op.batch_alter_table("episode") as episode:
        for name in ("accepted_ledger_index", "updated_at_us", "began_at_us", "shape", "kind"):
            episode.drop_column(name)
    op.execute("DELETE FROM snapshot WHERE grain <> 'window'")
    op.drop_index("ix_snapshot_window", table_name="snapshot")
    with op.batch_alter_table("snapshot") as snapshot:
        snapshot.drop_constraint(op.f(f"uq_snapshot_{'_'.join(GRAINED)}"), type_="unique")
        snapshot.create_unique_constraint(op.f(f"uq_snapshot_{'_'.join(SERIES)}"), SERIES)
        for name in ("corrections", "histogram", "highest", "lowest", "squares", "grain"):
            snapshot.drop_column(name)
    for table in TABLES:
        op.drop_table(table)


def _index_pending_by(column: str) -> None:
    """Let the deliveries that are under way be found in the order of this column."""
    is_pending = sa.text("state = 'pending'")
    op.drop_index("ix_delivery_pending", table_name="delivery")
    op.create_index(
        "ix_delivery_pending", "delivery", [column], sqlite_where=is_pending, postgresql_where=is_pending
    )


def _alter_snapshots() -> None:
    with op.batch_alter_table("snapshot") as snapshot:
        snapshot.add_column(_words("grain", 8, default="window"))
        snapshot.add_column(sa.Column("squares", sa.Float(), nullable=True))
        snapshot.add_column(sa.Column("lowest", sa.BigInteger(), nullable=True))
        snapshot.add_column(sa.Column("highest", sa.BigInteger(), nullable=True))
        snapshot.add_column(sa.Column("histogram", sa.JSON(), nullable=True))
        snapshot.add_column(_number("corrections"))
        snapshot.drop_constraint(op.f(f"uq_snapshot_{'_'.join(SERIES)}"), type_="unique")
        snapshot.create_unique_constraint(op.f(f"uq_snapshot_{'_'.join(GRAINED)}"), GRAINED)
    op.create_index("ix_snapshot_window", "snapshot", ["grain", "window_end_us"])


def _create_webhooks() -> None:
    op.create_table(
        "webhook",
        _identity(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        _words("description", 200),
        sa.Column("secret_version", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("pause_reason", sa.String(200), nullable=True),
        _number("failures"),
        _instant("quiet_until_us", nullable=True),
        sa.Column("behind_id", sa.BigInteger(), nullable=True),
        _instant("rotated_at_us", nullable=True),
        _words("created_by", 80),
        _instant("created_at_us"),
        _instant("deleted_at_us", nullable=True),
    )
    op.create_table(
        "webhook_delivery",
        _identity(),
        sa.Column("webhook_id", _identity64(), sa.ForeignKey("webhook.id"), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        _words("state", 16),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _instant("next_attempt_at_us"),
        _instant("created_at_us"),
        _instant("delivered_at_us", nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.UniqueConstraint("webhook_id", "event_id"),
    )
    is_pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_webhook_delivery_pending",
        "webhook_delivery",
        ["webhook_id", "next_attempt_at_us"],
        sqlite_where=is_pending,
        postgresql_where=is_pending,
    )
    op.create_table(
        "feed_mark",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("marks", sa.JSON(), nullable=False),
        _instant("changed_at_us"),
    )


def _create_observing() -> None:
    op.create_table(
        "cron_job",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _words("changed_by", 80),
        _instant("changed_at_us"),
        _instant("run_asked_at_us", nullable=True),
        sa.Column("run_asked_by", sa.String(80), nullable=True),
        sa.Column("run_reason", sa.Text(), nullable=True),
    )
    op.create_table(
        "observation",
        _identity(),
        _words("kind", 12),
        _instant("at_us"),
        sa.Column("task_type", sa.String(64), nullable=True),
        sa.Column("agent_id", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.String(80), nullable=True),
        sa.Column("is_success", sa.Boolean(), nullable=True),
        sa.Column("is_timeout", sa.Boolean(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("wait_us", sa.BigInteger(), nullable=True),
        sa.Column("paid_microcredits", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "snapshot_correction",
        _identity(),
        _words("metric", 48),
        _words("dimension", 24),
        _words("key", 80),
        _instant("window_end_us"),
        sa.Column("numerator", sa.BigInteger(), nullable=False),
        sa.Column("denominator", sa.BigInteger(), nullable=False),
        _instant("corrected_at_us"),
    )


def _create_knowledge() -> None:
    op.create_table(
        "pattern",
        _identity(),
        _words("kind", 16),
        _words("key", 160),
        _words("task_type", 64),
        sa.Column("agent_id", sa.BigInteger(), nullable=True),
        sa.Column("signature", sa.String(64), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        _instant("first_seen_us"),
        _instant("last_seen_us"),
        sa.UniqueConstraint("kind", "key"),
    )
    op.create_index("ix_pattern_type", "pattern", ["task_type", "kind"])
    op.create_table(
        "health_check",
        _identity(),
        _words("layer", 16),
        _words("component", 96),
        _words("measurement", 48),
        _words("status", 8),
        sa.Column("observed", sa.Float(), nullable=True),
        sa.Column("unit", sa.String(16), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        _instant("checked_at_us"),
        _instant("failing_since_us", nullable=True),
        sa.UniqueConstraint("layer", "component", "measurement"),
    )


def _identity64() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _identity() -> sa.Column[int]:
    return sa.Column("id", _identity64(), primary_key=True, autoincrement=True)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def _words(name: str, length: int, *, default: str | None = None) -> sa.Column[str]:
    given = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.String(length), nullable=False, server_default=given)
