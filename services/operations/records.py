"""The record of every agent: outcomes appended in order, and the standing that is their fold.

Stands between the market, which reports what came of an attempt, and the agents' rows. The fold is pure
(`services.domain.reputation`), so that anyone can recompute a standing from the outcomes. It never judges
work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.auction import ENTRANT_START, learn_entrant
from services.domain.ledger_schema import EntryType
from services.domain.reputation import (
    JOB_KINDS,
    AgentCounts,
    Evidence,
    Outcome,
    Record,
    StandingRules,
    fold_step,
    reason_of,
)
from services.domain.states import OutcomeKind, Standing
from services.operations import audit_log, review_queue, standing
from services.store import market, sql, tables
from services.store import records as stored
from services.store.sql import Row
from services.store.tx import Tx

ENTRANTS = 1
COUNTS = (
    "settled_jobs",
    "verified_jobs",
    "success_weight",
    "failure_weight",
    "trial_successes",
    "trial_failures",
    "consecutive_crashes",
    "forecasts",
    "brier_sum",
)


@dataclass(frozen=True, slots=True)
class NewOutcome:
    """What came of one attempt, or an act on an agent's standing (then there is no task).

    `requester_id` is who asked for the work; whether its evidence is capped is decided here.
    """

    agent_id: int
    kind: OutcomeKind
    task_id: int | None = None
    attempt_number: int | None = None
    task_type: str | None = None
    requester_id: int | None = None
    confidence_percent: int | None = None


@dataclass(slots=True)
class _Folding:
    """The rows that a batch of outcomes changes, as they will be."""

    agents: dict[int, Row]
    counts: dict[int, AgentCounts]
    records: dict[tuple[int, str], Record]
    evidence: dict[tuple[int, str, int], Evidence]
    known_records: frozenset[tuple[object, ...]]
    known_evidence: frozenset[tuple[object, ...]]


def record_outcomes(tx: Tx, outcomes: Sequence[NewOutcome], rules: StandingRules) -> dict[int, AgentCounts]:
    """Fold outcomes, in their order, into the agents' records and standing; return the counts after.

    A move on the ladder is a ledger entry; an agent that is suspended waits for a person. What unproven
    agents do for those whose word counts is learned for agents that nobody knows yet.
    """
    if not outcomes:
        return {}
    agents = market.locked_agents(tx, {item.agent_id for item in outcomes})
    capped = _capped_requesters(tx, outcomes)
    folding = _load(tx, outcomes, agents, capped)
    before = dict(folding.counts)
    entrants: list[bool] = []
    reasons: dict[int, str] = {}
    for item, requester_id in zip(outcomes, capped, strict=True):
        if (
            item.kind in JOB_KINDS
            and requester_id is None
            and folding.counts[item.agent_id].settled_jobs < rules.entry_jobs
        ):
            entrants.append(item.kind is OutcomeKind.VERIFIED)
        reason = _fold(folding, item, requester_id, rules)
        if reason:
            reasons[item.agent_id] = reason
    _write(tx, outcomes, capped, folding)
    _learn_entrants(tx, entrants)
    for agent_id, reason in sorted(reasons.items()):
        _note_move(tx, agents[agent_id], before[agent_id].standing, folding.counts[agent_id].standing, reason)
    standing.settle_bonds(tx, {agent_id: folding.counts[agent_id].standing for agent_id in reasons})
    return folding.counts


def _capped_requesters(tx: Tx, outcomes: Sequence[NewOutcome]) -> list[int | None]:
    """Return for each outcome the requester whose evidence is capped; None for the platform and the vouched.

    Anybody can ask for work and pay for it: what one requester that nobody vouched for says by paying counts
    for little.
    """
    asked = {item.requester_id for item in outcomes if item.requester_id is not None}
    vouched = {number for number, row in market.identities(tx, asked).items() if row["is_vouched"]}
    return [None if item.requester_id in vouched else item.requester_id for item in outcomes]


def _load(
    tx: Tx, outcomes: Sequence[NewOutcome], agents: dict[int, Row], capped: Sequence[int | None]
) -> _Folding:
    counts = {
        number: AgentCounts(Standing(row["standing"]), *(row[name] for name in COUNTS))
        for number, row in agents.items()
    }
    records = {
        (row["agent_id"], row["task_type"]): Record(
            row["success_weight"], row["failure_weight"], row["jobs"], row["verified"]
        )
        for row in sql.find_all(
            tx,
            tables.agent_record,
            order_by="agent_id",
            agent_id=sorted(agents),
            task_type=sorted({item.task_type or "" for item in outcomes}),
        )
    }
    pairs = sorted({number for number in capped if number is not None})
    evidence = {
        (row["agent_id"], row["task_type"], row["requester_id"]): Evidence(row["weight"], row["at_job"])
        for row in (
            sql.find_all(
                tx,
                tables.agent_counterparty,
                order_by="agent_id",
                agent_id=sorted(agents),
                requester_id=pairs,
            )
            if pairs
            else ()
        )
    }
    return _Folding(agents, counts, records, evidence, frozenset(records), frozenset(evidence))


def _fold(folding: _Folding, item: NewOutcome, requester_id: int | None, rules: StandingRules) -> str:
    """Fold one outcome; return why the standing moved, "" when it did not."""
    key = (item.agent_id, item.task_type or "")
    pair = (*key, requester_id or 0)
    outcome = Outcome(item.kind, item.task_type, requester_id, item.confidence_percent)
    before = folding.counts[item.agent_id]
    after, record, evidence = fold_step(
        before, folding.records.get(key), folding.evidence.get(pair), outcome, rules
    )
    folding.counts[item.agent_id] = after
    if record is not None:
        folding.records[key] = record
    if evidence is not None and requester_id is not None:
        folding.evidence[pair] = evidence
    return reason_of(before, after, outcome)


def _write(tx: Tx, outcomes: Sequence[NewOutcome], capped: Sequence[int | None], folding: _Folding) -> None:
    sql.insert_many(
        tx,
        tables.agent_outcome,
        [
            {
                "agent_id": item.agent_id,
                "kind": item.kind,
                "task_id": item.task_id,
                "attempt_number": item.attempt_number,
                "task_type": item.task_type,
                "requester_id": requester_id,
                "confidence_percent": item.confidence_percent,
                "recorded_at_us": tx.now_us,
            }
            for item, requester_id in zip(outcomes, capped, strict=True)
        ],
    )
    sql.update_many(
        tx, tables.agent, ("id",), [_agent_row(tx, folding, number) for number in sorted(folding.agents)]
    )
    touched = {(item.agent_id, item.task_type) for item in outcomes if item.kind in JOB_KINDS}
    records = [
        {"agent_id": agent_id, "task_type": kind, **_record_row(folding.records[agent_id, kind])}
        for agent_id, kind in sorted((number, str(kind)) for number, kind in touched)
    ]
    stored.put_records(tx, records, folding.known_records)
    evidence = [
        {
            "agent_id": agent_id,
            "task_type": kind,
            "requester_id": requester_id,
            "weight": folding.evidence[agent_id, kind, requester_id].weight,
            "at_job": folding.evidence[agent_id, kind, requester_id].at_job,
        }
        for agent_id, kind, requester_id in sorted(folding.evidence)
    ]
    stored.put_evidence(tx, evidence, folding.known_evidence)


def _agent_row(tx: Tx, folding: _Folding, agent_id: int) -> dict[str, object]:
    counts, row = folding.counts[agent_id], folding.agents[agent_id]
    is_suspended = counts.standing is Standing.SUSPENDED
    return {
        "id": agent_id,
        "standing": counts.standing,
        "suspended_at_us": (row["suspended_at_us"] or tx.now_us) if is_suspended else None,
        **{name: getattr(counts, name) for name in COUNTS},
    }


def _record_row(record: Record) -> dict[str, object]:
    return {
        "success_weight": record.success_weight,
        "failure_weight": record.failure_weight,
        "jobs": record.jobs,
        "verified": record.verified,
    }


def _learn_entrants(tx: Tx, outcomes: Sequence[bool]) -> None:
    """Fold what unproven agents did into the rate that the award starts from where it knows nothing."""
    if not outcomes:
        return
    row = sql.find(tx, tables.entrant_record, lock=True, id=ENTRANTS)
    successes, failures = (row["successes"], row["failures"]) if row else ENTRANT_START
    for is_verified in outcomes:
        successes, failures = learn_entrant(successes, failures, is_verified=is_verified)
    values = {"successes": successes, "failures": failures}
    if row is None:
        sql.insert(tx, tables.entrant_record, id=ENTRANTS, **values)
    else:
        sql.update(tx, tables.entrant_record, {"id": ENTRANTS}, **values)


def entrant_rate(tx: Tx) -> float:
    """Return how often the first jobs of agents that nobody knew came out well, learned so far."""
    row = sql.find(tx, tables.entrant_record, id=ENTRANTS)
    successes, failures = (row["successes"], row["failures"]) if row else ENTRANT_START
    return float(successes / (successes + failures))


def _note_move(tx: Tx, agent: Row, before: Standing, after: Standing, reason: str) -> None:
    facts = {"agent": f"agent:{agent['id']}", "from": str(before), "to": str(after), "reason": reason}
    audit_log.append(tx, EntryType.STANDING, facts)
    if after is Standing.SUSPENDED:
        review_queue.open_item(tx, kind="agent_suspended", subject=agent["name"], context=facts)
