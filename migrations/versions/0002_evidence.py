"""Let experiments have a probation, a place in the stream, placebos, scopes and guardrails; keep a holdout.

Revision: 0002, after 0001.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LIVE = "state IN ('running', 'provisional', 'probation')"
RUNNING = "state = 'running'"

STATE_OF_ENDED = (
    "UPDATE experiment SET state = CASE WHEN verdict = 'win' THEN 'confirmed' "
    "WHEN verdict IN ('loss', 'invalid') THEN 'aborted' "
    "WHEN reason = 'futile' THEN 'futile' ELSE 'inconclusive' END WHERE state = 'ended'"
)
ENDED_OF_STATE = "UPDATE experiment SET state = 'ended' WHERE state <> 'running'"


def upgrade() -> None:
    """Add the columns and tables; an ended experiment gets the state that its verdict means."""
    with op.batch_alter_table("task") as task:
        task.add_column(
            sa.Column("is_holdout", sa.Boolean(), nullable=False, server_default=sa.text("false"))
        )
    with op.batch_alter_table("proposal") as proposal:
        proposal.add_column(
            sa.Column("scope", sa.String(8), nullable=False, server_default=sa.text("'task'"))
        )
        proposal.add_column(
            sa.Column("guardrails", sa.JSON(), nullable=False, server_default=sa.text("'[]'"))
        )
    with op.batch_alter_table("exposure") as exposure:
        exposure.add_column(
            sa.Column("is_resolved", sa.Boolean(), nullable=False, server_default=sa.text("true"))
        )
        exposure.add_column(sa.Column("duration_seconds", sa.Float(), nullable=True))
        exposure.add_column(sa.Column("cost_microcredits", sa.BigInteger(), nullable=True))
    op.drop_index("uq_experiment_running", table_name="experiment")
    with op.batch_alter_table("experiment") as experiment:
        experiment.alter_column("proposal_id", existing_type=_identity64(), nullable=True)
        for column in _experiment_columns():
            experiment.add_column(column)
    op.execute(STATE_OF_ENDED)
    _copy_shares()
    _create_index(LIVE)
    _create_tables()


def _experiment_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("kind", sa.String(8), nullable=False, server_default=sa.text("'change'")),
        sa.Column("layer", sa.String(96), nullable=False, server_default=sa.text("''")),
        sa.Column("scope", sa.String(8), nullable=False, server_default=sa.text("'task'")),
        sa.Column("window_us", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("treatment_share", sa.Float(), nullable=False, server_default=sa.text("0.5")),
        sa.Column("stream_position", sa.Integer(), nullable=True),
        sa.Column("confirm_alpha", sa.Float(), nullable=True),
        sa.Column("known_after", sa.Integer(), nullable=True),
    ]


def _identity64() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _copy_shares() -> None:
    """Give every experiment the share that its plan promises, and the layer of its task type."""
    connection = op.get_bind()
    for number, plan in connection.execute(sa.text("SELECT id, plan FROM experiment")).all():
        payload = json.loads(plan) if isinstance(plan, str) else plan
        connection.execute(
            sa.text("UPDATE experiment SET treatment_share = :share, layer = task_type WHERE id = :id"),
            {"share": float(payload["treatment_share"]), "id": number},
        )


def _create_index(live: str) -> None:
    op.create_index(
        "uq_experiment_running",
        "experiment",
        ["parameter"],
        unique=True,
        sqlite_where=sa.text(live),
        postgresql_where=sa.text(live),
    )


def _create_tables() -> None:
    op.create_table(
        "probation",
        sa.Column("experiment_id", _identity64(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("salt_commitment", sa.String(64), nullable=False),
        sa.Column("first_ordinal", sa.Integer(), nullable=False),
        sa.Column("bet_state", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("reason", sa.String(120), nullable=True),
        sa.Column("estimate", sa.Float(), nullable=True),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.Column("records_sha256", sa.String(64), nullable=True),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("closes_at_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"]),
        sa.PrimaryKeyConstraint("experiment_id"),
    )
    op.create_table(
        "epoch",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("salt_commitment", sa.String(64), nullable=False),
        sa.Column("ledger_index", sa.BigInteger(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "freeze",
        sa.Column("id", _identity64(), autoincrement=True, nullable=False),
        sa.Column("reason", sa.String(240), nullable=False),
        sa.Column("ledger_index", sa.BigInteger(), nullable=False),
        sa.Column("frozen_at_us", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at_us", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.String(80), nullable=True),
        sa.Column("lift_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """Take the columns and tables away; placebos, which have no proposal, go with them."""
    for table in ("freeze", "epoch", "probation"):
        op.drop_table(table)
    op.drop_index("uq_experiment_running", table_name="experiment")
    op.execute(
        "DELETE FROM exposure WHERE experiment_id IN (SELECT id FROM experiment WHERE proposal_id IS NULL)"
    )
    op.execute("DELETE FROM experiment WHERE proposal_id IS NULL")
    op.execute(ENDED_OF_STATE)
    with op.batch_alter_table("experiment") as experiment:
        for column in reversed(_experiment_columns()):
            experiment.drop_column(column.name)
        experiment.alter_column("proposal_id", existing_type=_identity64(), nullable=False)
    _create_index(RUNNING)
    with op.batch_alter_table("exposure") as exposure:
        for name in ("cost_microcredits", "duration_seconds", "is_resolved"):
            exposure.drop_column(name)
    with op.batch_alter_table("proposal") as proposal:
        for name in ("guardrails", "scope"):
            proposal.drop_column(name)
    with op.batch_alter_table("task") as task:
        task.drop_column("is_holdout")
