"""Give votes units and extensions, reviews a gate, the ledger nodes and subjects, reports a plan.

What the entries so far say is written into the new tables from their own leaves.
Revision: 0009, after 0008.
"""

import hashlib
import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LIVE = "state IN ('open', 'review', 'passed', 'testing')"
LIVE_BEFORE = "state IN ('open', 'passed', 'testing')"
TABLES = ("report_delivery", "report_schedule", "checkpoint", "ledger_node", "ledger_subject", "review_gate")
FIRST_RULES = """'{"threshold_percent": 51, "minimum_ballots": 3}'"""
PAGE = 1_000
NUMBERED = ("proposal", "experiment", "episode", "epoch")


def upgrade() -> None:
    """Create the tables and columns, and fill them from what is there."""
    _create_gate()
    _create_ledger()
    _create_reports()
    with op.batch_alter_table("proposal") as proposal:
        proposal.add_column(sa.Column("units_per_day", sa.Float(), nullable=True))
        proposal.add_column(_words("electorate_mode", 8, default="agent"))
        proposal.add_column(sa.Column("conflicts", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
        proposal.add_column(
            sa.Column("rules", sa.JSON(), nullable=False, server_default=sa.text(FIRST_RULES))
        )
        proposal.add_column(sa.Column("format", sa.Integer(), nullable=False, server_default=sa.text("2")))
        proposal.add_column(_instant("extended_from_us", nullable=True))
    op.add_column("parameter", sa.Column("declaration", sa.JSON(), nullable=True))
    op.add_column("blob", _instant("erased_at_us", nullable=True))
    op.add_column("parameter_change", sa.Column("reason", sa.Text(), nullable=True))
    for table in ("elector", "ballot"):
        op.add_column(table, sa.Column("unit", sa.String(96), nullable=True))
        op.execute(f"UPDATE {table} SET unit = 'agent:' || agent_id")  # noqa: S608 (our own names)
        with op.batch_alter_table(table) as altered:
            altered.alter_column("unit", existing_type=sa.String(96), nullable=False)
            if table == "ballot":
                altered.create_unique_constraint(op.f("uq_ballot_proposal_id_unit"), ["proposal_id", "unit"])
    _index_live(LIVE)
    _fill_ledger(op.get_bind())


def downgrade() -> None:
    """Take it all away again; what waits for a person is refused, what was erased stays erased."""
    op.execute("UPDATE proposal SET state = 'refused' WHERE state = 'review'")
    _index_live(LIVE_BEFORE)
    with op.batch_alter_table("ballot") as ballot:
        ballot.drop_constraint(op.f("uq_ballot_proposal_id_unit"), type_="unique")
        ballot.drop_column("unit")
    with op.batch_alter_table("elector") as elector:
        elector.drop_column("unit")
    with op.batch_alter_table("parameter_change") as change:
        change.drop_column("reason")
    with op.batch_alter_table("parameter") as parameter:
        parameter.drop_column("declaration")
    with op.batch_alter_table("blob") as blob:
        blob.drop_column("erased_at_us")
    with op.batch_alter_table("proposal") as proposal:
        for name in ("extended_from_us", "format", "rules", "conflicts", "electorate_mode", "units_per_day"):
            proposal.drop_column(name)
    for table in TABLES:
        op.drop_table(table)


def _index_live(condition: str) -> None:
    """Let one proposal of a parameter be in one of these states."""
    where = sa.text(condition)
    op.drop_index("uq_proposal_live", table_name="proposal")
    op.create_index(
        "uq_proposal_live", "proposal", ["parameter"], unique=True, sqlite_where=where, postgresql_where=where
    )


def _create_gate() -> None:
    op.create_table(
        "review_gate",
        _identity(),
        sa.Column("proposal_id", _identity64(), sa.ForeignKey("proposal.id"), nullable=False),
        _words("shown_sha256", 64),
        _words("state", 16),
        sa.Column("reviewer", sa.String(80), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ledger_index", sa.BigInteger(), nullable=False),
        _instant("opened_at_us"),
        _instant("expires_at_us"),
        _instant("decided_at_us", nullable=True),
        sa.UniqueConstraint("proposal_id"),
    )
    op.create_index("ix_review_gate_state", "review_gate", ["state"])


def _create_ledger() -> None:
    op.create_table(
        "ledger_subject",
        sa.Column("subject", sa.String(120), primary_key=True),
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    op.create_table(
        "ledger_node",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger(), primary_key=True, autoincrement=False),
        _words("hash", 64),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger(), primary_key=True, autoincrement=False),
        _words("root", 64),
        sa.Column("note", sa.Text(), nullable=False),
        _instant("signed_at_us"),
    )


def _create_reports() -> None:
    op.create_table(
        "report_schedule",
        _identity(),
        _words("name", 80),
        _words("period", 8),
        sa.Column("formats", sa.JSON(), nullable=False),
        sa.Column("is_announced", sa.Boolean(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        _words("created_by", 80),
        _instant("created_at_us"),
        _instant("next_at_us"),
        _instant("deleted_at_us", nullable=True),
    )
    is_kept = sa.text("deleted_at_us IS NULL")
    op.create_index(
        "uq_report_schedule_name",
        "report_schedule",
        ["name"],
        unique=True,
        sqlite_where=is_kept,
        postgresql_where=is_kept,
    )
    op.create_table(
        "report_delivery",
        _identity(),
        sa.Column("schedule_id", _identity64(), sa.ForeignKey("report_schedule.id"), nullable=False),
        _instant("from_us"),
        _instant("to_us"),
        sa.Column("ledger_size", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        _instant("delivered_at_us"),
        sa.UniqueConstraint("schedule_id", "to_us"),
    )


def _fill_ledger(connection: sa.Connection) -> None:
    """Write nodes and subjects of the entries that are there."""
    entry = sa.table("ledger_entry", sa.column("index"), sa.column("leaf"), sa.column("leaf_hash"))
    node = sa.table("ledger_node", sa.column("level"), sa.column("index"), sa.column("hash"))
    subject = sa.table("ledger_subject", sa.column("subject"), sa.column("index"))
    levels: list[list[bytes]] = [[]]
    start = 0
    while True:
        page = connection.execute(
            sa.select(entry).where(entry.c.index >= start).order_by(entry.c.index).limit(PAGE)
        ).all()
        nodes, subjects = [], []
        for index, leaf, leaf_hash in page:
            nodes += [
                {"level": level, "index": place, "hash": hashed.hex()}
                for level, place, hashed in _completed(levels, bytes.fromhex(leaf_hash))
            ]
            subjects += [{"subject": name, "index": index} for name in _subjects(json.loads(bytes(leaf)))]
        if nodes:
            connection.execute(sa.insert(node), nodes)
        if subjects:
            connection.execute(sa.insert(subject), subjects)
        if len(page) < PAGE:
            return
        start = page[-1][0] + 1


def _completed(levels: list[list[bytes]], leaf_hash: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Append a leaf's hash; yield (level, index, hash) of each subtree above the leaves that is whole now."""
    level, hashed = 0, leaf_hash
    levels[0].append(hashed)
    while len(levels[level]) % 2 == 0:
        hashed = hashlib.sha256(b"\x01" + levels[level][-2] + hashed).digest()
        level += 1
        if level == len(levels):
            levels.append([])
        levels[level].append(hashed)
        yield level, len(levels[level]) - 1, hashed


def _subjects(entry: dict[str, object]) -> list[str]:
    """Return what an entry is about, as `services.domain.ledger_subjects` named it when this was written."""
    payload = entry["payload"]
    assert isinstance(payload, dict)  # noqa: S101 (every leaf was checked before it was written)
    found = {f"{kind}:{payload[f'{kind}_id']}" for kind in NUMBERED if payload.get(f"{kind}_id") is not None}
    if "parameter" in payload:
        found.add(f"parameter:{payload['parameter']}")
    found |= {str(payload[name]) for name in ("agent", "proposer", "voter") if name in payload}
    if "format" in payload:
        found.add("format")
    if "corrects" in payload:
        found.add(f"entry:{payload['corrects']}")
    return sorted(found)


def _identity64() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _identity() -> sa.Column[int]:
    return sa.Column("id", _identity64(), primary_key=True, autoincrement=True)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _words(name: str, length: int, *, default: str | None = None) -> sa.Column[str]:
    given = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.String(length), nullable=False, server_default=given)
