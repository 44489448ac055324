"""Acts on an agent's standing: suspension, reinstatement, return by a new stake, appeals, the recount.

Stands beside the market (L4), whose settlement moves standings by work. Each act here is an outcome in the
agent's record, so that standing stays the fold of its outcomes, and an entry in the ledger with its reason.
A new stake lies in an account of its own, `bond:<agent>`: lost at the next suspension, returned at full
standing. It never judges work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import NamedTuple

from services.domain.clock import seconds, to_rfc3339
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_schema import EntryType
from services.domain.reputation import (
    AgentCounts,
    AgentState,
    Outcome,
    StandingRules,
    fold_step,
    refold,
)
from services.domain.states import OutcomeKind, Standing
from services.operations import accounts, agent_registry, audit_log, production_config, review_queue
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

REASON_KEPT = 500
CLOSE_ENOUGH = 1e-9
"""Relative difference up to which two sums of the same weights are the same."""
COUNTS = tuple(field.name for field in fields(AgentCounts) if field.name != "standing")


class Difference(NamedTuple):
    """One thing that is stored otherwise than the fold of the outcomes says."""

    agent_id: int
    what: str
    stored: object
    folded: object


def bond_account(agent_id: int) -> str:
    """Return the owner name of the account that holds an agent's new stake."""
    return f"bond:{agent_id}"


def rules(tx: Tx) -> StandingRules:
    """Return the limits of the fold as they are in force."""
    names = ("market.crash_limit", "market.counterparty_jobs", "market.entry_jobs")
    limits = production_config.numbers(tx, names)
    return StandingRules(int(limits[names[0]]), limits[names[1]], int(limits[names[2]]))


def counts_of(row: Row) -> AgentCounts:
    """Return the folded columns of an agent's row."""
    return AgentCounts(Standing(row["standing"]), **{name: row[name] for name in COUNTS})


# --- acts of operators


def suspend(tx: Tx, agent_id: int, *, reason: str) -> None:
    """Take an agent's standing away, an operator's recorded act; a new stake it had put up is lost.

    Raises ConflictError when it is suspended already, InvalidValueError without a reason.
    """
    _check_reason(reason, "a suspension")
    row = agent_registry.get(tx, agent_id)
    _settle_bond(tx, agent_id, Standing.SUSPENDED)
    if row["standing"] == Standing.SUSPENDED:
        msg = f"agent {agent_id} is suspended already"
        raise ConflictError(msg, field="agent_id", standing=row["standing"])
    _act(tx, row, OutcomeKind.SUSPENDED, reason)


def reinstate(tx: Tx, agent_id: int, *, reason: str) -> None:
    """Put a suspended agent back on probation, an operator's recorded act; its e-process starts anew.

    Raises ConflictError when the agent is not suspended, InvalidValueError without a reason.
    """
    _check_reason(reason, "a reinstatement")
    _act(tx, _suspended(tx, agent_id), OutcomeKind.REINSTATED, reason)


# --- the way back by a new stake


def come_back(tx: Tx, agent_id: int) -> int:
    """Put an agent back on probation by its own new stake; return the stake in micro-credits.

    Raises ConflictError when it is not suspended or the cool-down has not passed, InsufficientFundsError
    when it cannot pay.
    """
    row = _suspended(tx, agent_id)
    wait_us = seconds(production_config.number(tx, "market.suspension_seconds"))
    stake = int(production_config.number(tx, "market.reinstatement_microcredits"))
    may_return_us = (row["suspended_at_us"] or 0) + wait_us
    if tx.now_us < may_return_us:
        may_return_at = to_rfc3339(may_return_us)
        msg = f"agent {agent_id} may come back from {may_return_at} on, with a stake of {stake} micro-credits"
        raise ConflictError(msg, code="cool_down", may_return_at=may_return_at)
    accounts.open_account(tx, bond_account(agent_id))
    accounts.move(
        tx,
        kind="hold_bond",
        debit=accounts.agent_account(agent_id),
        credit=bond_account(agent_id),
        amount_microcredits=stake,
    )
    _act(tx, row, OutcomeKind.REINSTATED, f"came back with a new stake of {stake} micro-credits")
    return stake


def settle_bonds(tx: Tx, moved: Mapping[int, Standing]) -> None:
    """Resolve the new stakes of agents whose standing has just moved: lost when suspended, back when full.

    For the settlement, after it has written its own books.
    """
    for agent_id, standing in sorted(moved.items()):
        _settle_bond(tx, agent_id, standing)


def _settle_bond(tx: Tx, agent_id: int, standing: Standing) -> None:
    if standing not in (Standing.SUSPENDED, Standing.FULL):
        return
    bond = bond_account(agent_id)
    held = accounts.balance_microcredits(tx, bond)
    if not held:
        return
    is_lost = standing is Standing.SUSPENDED
    accounts.move(
        tx,
        kind="forfeit_bond" if is_lost else "return_bond",
        debit=bond,
        credit=accounts.TREASURY if is_lost else accounts.agent_account(agent_id),
        amount_microcredits=held,
    )


# --- appeals


def appeal(tx: Tx, agent_id: int, *, reason: str) -> int:
    """Ask an operator to look at a suspension again; return the id of the review item.

    Raises ConflictError when the agent is not suspended, or has appealed against this suspension before.
    """
    _check_reason(reason, "an appeal")
    row = _suspended(tx, agent_id, lock=True)
    subject = accounts.agent_account(agent_id)
    for item in sql.find_all(tx, tables.review_item, kind=review_queue.APPEAL, subject=subject):
        if item["closed_at_us"] is None or item["opened_at_us"] >= (row["suspended_at_us"] or 0):
            state = "waits for an operator" if item["closed_at_us"] is None else "was decided"
            msg = f"the appeal against this suspension {state} (review item {item['id']}); there is one each"
            raise ConflictError(msg, code="appealed_already", item_id=item["id"])
    context = {"agent_id": agent_id, "name": row["name"], "reason": reason}
    return review_queue.open_item(tx, kind=review_queue.APPEAL, subject=subject, context=context)


def decide_appeal(tx: Tx, item_id: int, *, is_granted: bool, reason: str) -> int:
    """Grant or deny an appeal, an operator's recorded act with its reason; return the agent's id.

    Raises NotFoundError for what is no appeal, ConflictError for one that is decided or has become moot.
    """
    _check_reason(reason, "the decision on an appeal")
    item = sql.find(tx, tables.review_item, id=item_id)
    if item is None or item["kind"] != review_queue.APPEAL:
        msg = f"review item {item_id} is no appeal"
        raise NotFoundError(msg, field="item_id")
    agent_id = int(item["context"]["agent_id"])
    review_queue.close(tx, item_id)
    row = _suspended(tx, agent_id)
    if is_granted:
        _act(tx, row, OutcomeKind.REINSTATED, f"appeal granted: {reason}")
    else:
        _record(tx, agent_id, Standing.SUSPENDED, Standing.SUSPENDED, f"appeal denied: {reason}")
    return agent_id


# --- the recount


def recompute(tx: Tx, agent_ids: Iterable[int]) -> list[Difference]:
    """Fold the outcomes of these agents anew and return what is stored otherwise; nothing is changed."""
    limits = rules(tx)
    return [difference for agent_id in agent_ids for difference in _differences(tx, agent_id, limits)]


def _differences(tx: Tx, agent_id: int, limits: StandingRules) -> list[Difference]:
    row = agent_registry.get(tx, agent_id)
    outcomes = (
        Outcome(OutcomeKind(one["kind"]), one["task_type"], one["requester_id"], one["confidence_percent"])
        for one in sql.find_all(tx, tables.agent_outcome, agent_id=agent_id)
    )
    folded = refold(outcomes, limits, is_vouched=row["is_vouched"])
    expected = _flat(folded)
    stored = _stored(tx, row)
    return [
        Difference(agent_id, name, stored.get(name), expected.get(name))
        for name in sorted({*stored, *expected})
        if not _is_same(stored.get(name), expected.get(name))
    ]


def _flat(state: AgentState) -> dict[str, object]:
    """Return everything that is folded, by the name it is reported under."""
    found: dict[str, object] = {name: getattr(state, name) for name in ("standing", *COUNTS)}
    for kind, record in state.records.items():
        found |= {f"{kind}: {field.name}": getattr(record, field.name) for field in fields(record)}
    for (kind, requester_id), evidence in state.counterparties.items():
        found[f"{kind}: weight of requester {requester_id}"] = evidence.weight
        found[f"{kind}: last job for requester {requester_id}"] = evidence.at_job
    return found


def _stored(tx: Tx, row: Row) -> dict[str, object]:
    """Return everything that is kept of an agent, by the same names."""
    found: dict[str, object] = {name: row[name] for name in ("standing", *COUNTS)}
    of_agent = {"agent_id": row["id"]}
    for one in sql.find_all(tx, tables.agent_record, order_by="task_type", **of_agent):
        kind = one["task_type"]
        found |= {f"{kind}: {name}": one[name] for name in one if name not in ("agent_id", "task_type")}
    for one in sql.find_all(tx, tables.agent_counterparty, order_by="task_type", **of_agent):
        kind, requester_id = one["task_type"], one["requester_id"]
        found[f"{kind}: weight of requester {requester_id}"] = one["weight"]
        found[f"{kind}: last job for requester {requester_id}"] = one["at_job"]
    return found


def _is_same(stored: object, folded: object) -> bool:
    if isinstance(stored, float) and isinstance(folded, float):
        return abs(stored - folded) <= CLOSE_ENOUGH * max(1.0, abs(folded))
    return stored == folded


# --- what every act does


def _suspended(tx: Tx, agent_id: int, *, lock: bool = False) -> Row:
    """Return the row of a suspended agent; raise ConflictError for any other."""
    row = agent_registry.get(tx, agent_id, lock=lock)
    if row["standing"] != Standing.SUSPENDED:
        msg = f"agent {agent_id} is {row['standing']}, not suspended"
        raise ConflictError(msg, field="agent_id", standing=row["standing"])
    return row


def _check_reason(reason: str, what: str) -> None:
    if not reason.strip():
        msg = f"{what} needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")


def _act(tx: Tx, row: Row, kind: OutcomeKind, reason: str) -> None:
    """Fold the act into the agent's record and write it down; ConflictError when the standing has moved."""
    agent_id = row["id"]
    accounts.open_books(
        tx
    )  # whoever judges records now is through, or waits: an award sees all of it or none
    before = counts_of(agent_registry.get(tx, agent_id, lock=True))
    if before.standing != row["standing"]:
        msg = f"agent {agent_id} has become {before.standing} meanwhile; look again"
        raise ConflictError(msg, field="agent_id", standing=str(before.standing))
    after = fold_step(before, None, None, Outcome(kind), rules(tx)).counts
    sql.update(
        tx,
        tables.agent,
        {"id": agent_id},
        standing=after.standing,
        trial_successes=after.trial_successes,
        trial_failures=after.trial_failures,
        consecutive_crashes=after.consecutive_crashes,
        suspended_at_us=tx.now_us if after.standing is Standing.SUSPENDED else None,
    )
    sql.insert(tx, tables.agent_outcome, agent_id=agent_id, kind=kind, recorded_at_us=tx.now_us)
    if kind is OutcomeKind.REINSTATED:
        moot = {
            "kind": review_queue.APPEAL,
            "subject": accounts.agent_account(agent_id),
            "closed_at_us": None,
        }
        sql.update(tx, tables.review_item, moot, closed_at_us=tx.now_us)
    _record(tx, agent_id, before.standing, after.standing, reason)


def _record(tx: Tx, agent_id: int, before: Standing, after: Standing, reason: str) -> None:
    facts = {"agent": accounts.agent_account(agent_id), "from": str(before), "to": str(after)}
    audit_log.append(tx, EntryType.STANDING, {**facts, "reason": reason[:REASON_KEPT]})
