"""The tables: every fact the loop stands on, as SQLAlchemy Core metadata (one module per group of layers).

It never holds behaviour; see `services.store` for the queries.
"""

from services.store.tables.budgets import budget, budget_hold, budget_limit
from services.store.tables.columns import metadata
from services.store.tables.governance import (
    ballot,
    blob,
    elector,
    epoch,
    experiment,
    exposure,
    freeze,
    ledger_entry,
    ledger_head,
    parameter,
    parameter_change,
    probation,
    proposal,
)
from services.store.tables.market import (
    account,
    agent,
    agent_counterparty,
    agent_outcome,
    agent_record,
    attempt,
    award,
    bid,
    entrant_record,
    escrow,
    lap,
    late_result,
    task,
    transfer,
)
from services.store.tables.platform import (
    cron_tick,
    delivery,
    deployment,
    episode,
    event,
    idempotency,
    review_item,
    snapshot,
)

IMMUTABLE_TABLES = ("ledger_entry",)
"""Tables whose rows a database trigger forbids to change or delete, on both engines."""

__all__ = [
    "IMMUTABLE_TABLES",
    "account",
    "agent",
    "agent_counterparty",
    "agent_outcome",
    "agent_record",
    "attempt",
    "award",
    "ballot",
    "bid",
    "blob",
    "budget",
    "budget_hold",
    "budget_limit",
    "cron_tick",
    "delivery",
    "deployment",
    "elector",
    "entrant_record",
    "episode",
    "epoch",
    "escrow",
    "event",
    "experiment",
    "exposure",
    "freeze",
    "idempotency",
    "lap",
    "late_result",
    "ledger_entry",
    "ledger_head",
    "metadata",
    "parameter",
    "parameter_change",
    "probation",
    "proposal",
    "review_item",
    "snapshot",
    "task",
    "transfer",
]
