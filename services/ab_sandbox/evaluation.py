"""Evaluation: release what has resolved in assignment order, bet on it, and conclude a leg that is decided.

Stands at the heart of the sandbox; the same code runs trials, probations and placebos. State and exposures
move in one transaction, so that a kill at any point leaves either nothing or all of a step. A verdict is
absorbing: what resolves after it is left unfolded. It never promotes.
"""

from services.ab_sandbox.legs import RunningLeg, running_leg, update_leg
from services.ab_sandbox.outcomes import record_outcome
from services.ab_sandbox.units import record_of, released, units_of
from services.domain import sequential
from services.domain.bet import BetState, Record
from services.domain.events import Event, EventType
from services.domain.ledger_records import records_bytes
from services.domain.sequential import DEADLINE, FUTILE, Decision, Verdict
from services.domain.states import (
    BETTING_EXPERIMENTS,
    ExperimentKind,
    ExperimentScope,
    ExperimentState,
    Leg,
)
from services.event_bus import publish
from services.operations import audit_log
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 1_000
STATE_AFTER_TRIAL = {
    Verdict.WIN: ExperimentState.PROVISIONAL,
    Verdict.LOSS: ExperimentState.ABORTED,
    Verdict.INVALID: ExperimentState.ABORTED,
    Verdict.INCONCLUSIVE: ExperimentState.INCONCLUSIVE,
}


def evaluate_running(tx: Tx) -> dict[str, int]:
    """Evaluate every experiment that is bet on; return how many ran and how many legs ended."""
    running = sql.find_all(tx, tables.experiment, state=list(BETTING_EXPERIMENTS))
    ended = sum(evaluate(tx, row["id"]) for row in running)
    return {"running": len(running), "ended": ended}


def evaluate(tx: Tx, experiment_id: int) -> bool:
    """Release what has resolved, in assignment order, and conclude the leg when its bet is decided."""
    experiment = sql.find(tx, tables.experiment, lock=True, id=experiment_id, state=list(BETTING_EXPERIMENTS))
    if experiment is None:
        return False
    tx = tx.in_lap(experiment["lap_id"])
    leg = running_leg(tx, experiment)
    state = leg.state
    while ready := _released(tx, experiment, leg, state):
        state = _fold(tx, experiment, leg, state, ready)
        if sequential.decide(leg.plan, state).verdict is not None or len(ready) < BATCH:
            break
    if state is not leg.state:
        update_leg(tx, experiment_id, leg.name, bet_state=state.to_payload())
        _move_share(tx, experiment, leg, state)
    decision = sequential.decide(leg.plan, state)
    if decision.verdict is None and tx.now_us >= leg.closes_at_us:
        decision = Decision(Verdict.INCONCLUSIVE, DEADLINE)
    if decision.verdict is None:
        return False
    _conclude(tx, experiment, leg, decision)
    return True


def _released(tx: Tx, experiment: Row, leg: RunningLeg, state: BetState) -> list[list[Row]]:
    """Return the units to bet on now, with the outcomes of ended tasks whose event has not come."""
    is_by_task = experiment["scope"] == ExperimentScope.TASK
    limit = BATCH if is_by_task else None
    start = leg.first_ordinal + (state.next_ordinal if is_by_task else 0)
    waiting = governance.unfolded_exposures(tx, experiment["id"], start, limit)
    overdue_us = tx.now_us - experiment["maximum_wait_us"]
    overdue = [row for row in waiting if row["outcome"] is None and row["assigned_at_us"] <= overdue_us]
    for row in overdue:
        record_outcome(tx, row["task_id"])
    if overdue:
        waiting = governance.unfolded_exposures(tx, experiment["id"], start, limit)
    return released(
        units_of(waiting),
        now_us=tx.now_us,
        started_at_us=leg.started_at_us,
        window_us=experiment["window_us"],
        maximum_wait_us=experiment["maximum_wait_us"],
    )


def _fold(tx: Tx, experiment: Row, leg: RunningLeg, state: BetState, ready: list[list[Row]]) -> BetState:
    """Bet on each unit until the verdict; what comes after it is left unfolded."""
    folded: list[dict[str, object]] = []
    for unit in ready:
        if sequential.decide(leg.plan, state).verdict is not None:
            break
        record = _record(experiment, leg, unit, state.next_ordinal)
        state = sequential.update(leg.plan, state, record)
        folded += [
            {
                "id": row["id"],
                "outcome": row["outcome"] or 0.0,
                "is_resolved": row["outcome"] is not None and row["is_resolved"],
                "resolved_at_us": row["resolved_at_us"] or tx.now_us,
                "log_e": state.e_log,
            }
            for row in unit
        ]
    governance.fold_exposures(tx, folded)
    return state


def _record(experiment: Row, leg: RunningLeg, unit: list[Row], ordinal: int) -> Record:
    return record_of(
        leg.plan,
        unit,
        ordinal=ordinal,
        started_at_us=leg.started_at_us,
        maximum_wait_us=experiment["maximum_wait_us"],
    )


def _move_share(tx: Tx, experiment: Row, leg: RunningLeg, state: BetState) -> None:
    """Let the ramp go on once its first tasks show no hint of harm; it never goes back."""
    share = sequential.share_now(leg.plan, state, experiment["treatment_share"])
    if share != experiment["treatment_share"]:
        sql.update(tx, tables.experiment, {"id": experiment["id"]}, treatment_share=share)


def _conclude(tx: Tx, experiment: Row, leg: RunningLeg, decision: Decision) -> None:
    """Write the leg's verdict once, with the digest of its records and the effect's interval."""
    assert decision.verdict is not None  # noqa: S101 (only decided legs are concluded)
    folded = governance.folded_exposures(tx, experiment["id"], leg.first_ordinal)
    records = [_record(experiment, leg, unit, ordinal) for ordinal, unit in enumerate(units_of(folded))]
    alpha = float(experiment["plan"]["alpha"])
    estimate = sequential.confidence_sequence(leg.plan, records, alpha)
    content = records_bytes(experiment["id"], records, leg.name)
    update_leg(
        tx,
        experiment["id"],
        leg.name,
        verdict=str(decision.verdict),
        reason=decision.reason[:120],
        estimate=estimate.estimate,
        lower=estimate.lower,
        upper=estimate.upper,
        records_sha256=audit_log.keep_blob(tx, "records", content),
        ended_at_us=tx.now_us,
    )
    after = state_after(experiment["kind"], leg.name, decision)
    ended_at_us = None if after is ExperimentState.PROVISIONAL else tx.now_us
    where = {"id": experiment["id"], "state": experiment["state"]}
    sql.update(tx, tables.experiment, where, state=after, ended_at_us=ended_at_us)
    facts = {"experiment_id": experiment["id"], "verdict": str(decision.verdict), "leg": str(leg.name)}
    publish(tx, Event(EventType.EXPERIMENT_CONCLUDED, f"experiment:{experiment['id']}", facts))


def state_after(kind: str, leg: Leg, decision: Decision) -> ExperimentState:
    """Return the state that a decided leg leads to."""
    verdict = decision.verdict
    if leg is Leg.PROBATION:
        return ExperimentState.CONFIRMED if verdict is Verdict.WIN else ExperimentState.ROLLED_BACK
    if kind == ExperimentKind.PLACEBO and verdict is Verdict.WIN:
        return ExperimentState.REFUSED
    if decision.reason == FUTILE:
        return ExperimentState.FUTILE
    assert verdict is not None  # noqa: S101 (only decided legs lead anywhere)
    return STATE_AFTER_TRIAL[verdict]
