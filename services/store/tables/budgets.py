"""Tables of the budgets: what may be used of a resource in a scope, who set it, and what is held of it.

Stand beside the tables of money, which the amounts live in: each budget has three accounts of its own unit
(`budget:ID:free`, `:reserved`, `:spent`). They never hold behaviour.
"""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text, UniqueConstraint, text

from services.store.tables.columns import identity, instant, metadata, reference

budget = Table(
    "budget",
    metadata,
    identity(),
    Column("name", String(400), nullable=False, unique=True),
    Column("scope", String(8), nullable=False),
    Column("subject", String(321), nullable=False),
    Column("resource", String(16), nullable=False),
    Column("period", String(10), nullable=False),
    Column("limit_amount", BigInteger, nullable=False),
    Column("cap", BigInteger, nullable=False),
    instant("opened_at_us"),
    Index("ix_budget_period", "period", "id"),
)

budget_limit = Table(
    "budget_limit",
    metadata,
    identity(),
    Column("scope", String(8), nullable=False),
    Column("subject", String(321), nullable=False),
    Column("resource", String(16), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    instant("set_at_us"),
    UniqueConstraint("scope", "subject", "resource", "id"),
)

budget_hold = Table(
    "budget_hold",
    metadata,
    identity(),
    reference("agent.id", "agent_id"),
    Column("resource", String(16), nullable=False),
    Column("amount", BigInteger, nullable=False),
    reference("task.id", "task_id", nullable=True),
    Column("workflow", String(80), nullable=True),
    reference("budget_hold.id", "parent_hold_id", nullable=True),
    Column("state", String(16), nullable=False),
    Column("settled_amount", BigInteger, nullable=True),
    instant("held_at_us"),
    instant("expires_at_us"),
    instant("resolved_at_us", nullable=True),
    Index("ix_budget_hold_agent", "agent_id", "id"),
    Index(
        "ix_budget_hold_held",
        "expires_at_us",
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)
