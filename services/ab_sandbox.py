"""Layer 6, the A/B sandbox: half of the tasks get the new value, and a bet decides what the evidence says.

Stands between the vote and the ledger. Arms are fixed per task at its award; outcomes are released in
assignment order; every assigned task counts, for the arm it was assigned to, and one that does not resolve in
time counts as a failure in both arms. A verdict is written once and never changes. It never promotes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from services.domain import assignment, sequential
from services.domain.clock import DAY_US, seconds
from services.domain.events import Event, EventType
from services.domain.ledger_records import records_bytes
from services.domain.ledger_schema import EntryType
from services.domain.sequential import BetPlan, BetState, Decision, Record, Verdict
from services.domain.states import ExperimentState, ProposalState, TaskState
from services.event_bus import publish
from services.operations import audit_log, production_config
from services.store import governance, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 1_000
DEADLINE_REASON = "deadline reached"


@dataclass(frozen=True, slots=True)
class Resolution:
    """An exposure that may be released to the bet: its row and its outcome."""

    row: Row
    outcome: float


def start_experiment(tx: Tx, proposal_id: int, entropy: Callable[[int], bytes]) -> int | None:
    """Start the experiment of a passed proposal; return its id, or None when it cannot start (yet).

    The salt is secret until the end; the ledger holds a commitment to it and the whole plan of the bet. A
    setting that moved since the vote is refused: its old value is no control any more.
    """
    tx = audit_log.take_turn(tx)
    proposal = sql.find(tx, tables.proposal, lock=True, id=proposal_id)
    if proposal is None or proposal["state"] != ProposalState.PASSED:
        return None
    tx = tx.in_lap(proposal["lap_id"])
    task_type = proposal["parameter"].split(".", 1)[0]
    if production_config.effective(tx, proposal["parameter"]).version != proposal["from_version"]:
        _refuse_to_start(tx, proposal)
        return None
    if sql.find(tx, tables.experiment, task_type=task_type, state=ExperimentState.RUNNING) is not None:
        return None
    plan = _plan(tx, proposal)
    salt = entropy(32).hex()
    experiment_id = _insert(tx, proposal, task_type, plan, salt)
    where = {"id": proposal_id, "state": ProposalState.PASSED}
    sql.update(tx, tables.proposal, where, state=ProposalState.TESTING)
    audit_log.append(
        tx,
        EntryType.EXPERIMENT_STARTED,
        {
            "experiment_id": experiment_id,
            "proposal_id": proposal_id,
            "parameter": proposal["parameter"],
            "control": proposal["from_value"],
            "treatment": proposal["to_value"],
            "salt_commitment": assignment.commitment(salt),
            "plan": plan.to_payload(),
        },
    )
    publish(
        tx,
        Event(EventType.EXPERIMENT_STARTED, f"experiment:{experiment_id}", {"experiment_id": experiment_id}),
    )
    return experiment_id


def _refuse_to_start(tx: Tx, proposal: Row) -> None:
    """End a passed proposal whose parameter was changed after it was filed."""
    reason = f"{proposal['parameter']} was changed after the proposal was filed"
    where = {"id": proposal["id"], "state": ProposalState.PASSED}
    state = ProposalState.REFUSED
    sql.update(tx, tables.proposal, where, state=state, ended_at_us=tx.now_us, end_reason=reason)
    facts = {"proposal_id": proposal["id"], "experiment_id": None, "parameter": proposal["parameter"]}
    audit_log.append(tx, EntryType.REFUSED, {**facts, "reason": reason})
    told = {"proposal_id": proposal["id"], "state": str(state), "meta_task_id": proposal["meta_task_id"]}
    publish(tx, Event(EventType.PROPOSAL_CLOSED, f"proposal:{proposal['id']}", told))


def start_waiting(tx: Tx, entropy: Callable[[int], bytes]) -> int:
    """Start passed proposals that had to wait for another experiment; return how many started."""
    waiting = sql.find_all(tx, tables.proposal, state=ProposalState.PASSED)
    return sum(start_experiment(tx, proposal["id"], entropy) is not None for proposal in waiting)


def record_outcome(tx: Tx, task_id: int) -> list[int]:
    """Note the outcome of an ended task on its open exposures; return the experiments concerned.

    Success is a task that was settled within the maximum wait, the same window in both arms; every other end
    is a failure (intention to treat). Handling an event twice changes nothing: only exposures without an
    outcome are written.
    """
    task = sql.find(tx, tables.task, id=task_id)
    if task is None or task["ended_at_us"] is None:
        return []
    open_exposures = sql.find_all(tx, tables.exposure, task_id=task_id, outcome=None)
    for row in open_exposures:
        experiment = sql.find(tx, tables.experiment, lock=True, id=row["experiment_id"])
        assert experiment is not None  # noqa: S101 (a foreign key guarantees it)
        is_in_time = task["ended_at_us"] - row["assigned_at_us"] <= experiment["maximum_wait_us"]
        outcome = 1.0 if task["state"] == TaskState.SETTLED and is_in_time else 0.0
        where = {"id": row["id"], "outcome": None}
        sql.update(tx, tables.exposure, where, outcome=outcome, resolved_at_us=tx.now_us)
    return [row["experiment_id"] for row in open_exposures]


def evaluate_running(tx: Tx) -> dict[str, int]:
    """Evaluate every running experiment; return how many ran and how many ended."""
    running = sql.find_all(tx, tables.experiment, state=ExperimentState.RUNNING)
    ended = sum(evaluate(tx, row["id"]) for row in running)
    return {"running": len(running), "ended": ended}


def evaluate(tx: Tx, experiment_id: int) -> bool:
    """Release what has resolved, in assignment order, and conclude when the bet is decided."""
    experiment = sql.find(tx, tables.experiment, lock=True, id=experiment_id, state=ExperimentState.RUNNING)
    if experiment is None:
        return False
    tx = tx.in_lap(experiment["lap_id"])
    plan = BetPlan.from_payload(experiment["plan"])
    state = BetState.from_payload(experiment["bet_state"])
    waiting = _waiting(tx, experiment)
    ready = released(waiting, tx.now_us, experiment["maximum_wait_us"])
    state = _fold(tx, plan, state, ready)
    decision = sequential.decide(plan, state)
    if decision.verdict is None and tx.now_us >= experiment["closes_at_us"]:
        decision = Decision(Verdict.INCONCLUSIVE, DEADLINE_REASON)
    if ready:
        sql.update(tx, tables.experiment, {"id": experiment_id}, bet_state=state.to_payload())
    if decision.verdict is None:
        return False
    _conclude(tx, experiment, plan, decision)
    return True


def _waiting(tx: Tx, experiment: Row) -> list[Row]:
    """Return what is not in the bet yet, with the outcomes of ended tasks whose event has not come."""
    waiting = governance.unfolded_exposures(tx, experiment["id"], BATCH)
    overdue_us = tx.now_us - experiment["maximum_wait_us"]
    overdue = [row for row in waiting if row["outcome"] is None and row["assigned_at_us"] <= overdue_us]
    for row in overdue:
        record_outcome(tx, row["task_id"])
    return governance.unfolded_exposures(tx, experiment["id"], BATCH) if overdue else waiting


def released(waiting: list[Row], now_us: int, maximum_wait_us: int) -> list[Resolution]:
    """Return the exposures that may be bet on: the longest resolved prefix in assignment order.

    Counting in completion order would favour the arm whose failures take longer (up to 96 % false
    promotions measured for a timeout); one unresolved task holds back all that were assigned after it.
    """
    ready: list[Resolution] = []
    for row in waiting:
        if row["outcome"] is not None:
            ready.append(Resolution(row, row["outcome"]))
        elif now_us - row["assigned_at_us"] >= maximum_wait_us:
            ready.append(Resolution(row, 0.0))
        else:
            break
    return ready


def record_of(row: Row, outcome: float) -> Record:
    """Return the bet's record of an exposure."""
    return Record(row["ordinal"], row["unit"], row["arm"], row["share"], outcome, row["stratum"])


def _fold(tx: Tx, plan: BetPlan, state: BetState, ready: list[Resolution]) -> BetState:
    """Bet on each resolution until the verdict; what comes after it is left unfolded."""
    for resolution in ready:
        if sequential.decide(plan, state).verdict is not None:
            break
        state = sequential.update(plan, state, record_of(resolution.row, resolution.outcome))
        sql.update(
            tx,
            tables.exposure,
            {"id": resolution.row["id"]},
            outcome=resolution.outcome,
            resolved_at_us=resolution.row["resolved_at_us"] or tx.now_us,
            is_folded=True,
            log_e=state.e_log,
        )
    return state


def _conclude(tx: Tx, experiment: Row, plan: BetPlan, decision: Decision) -> None:
    """Write the verdict once, with the digest of the records it came from and the effect's interval."""
    folded = governance.folded_exposures(tx, experiment["id"])
    records = [record_of(row, row["outcome"]) for row in folded]
    estimate = sequential.confidence_sequence(plan, records, plan.alpha)
    content = records_bytes(experiment["id"], records)
    changed = sql.update(
        tx,
        tables.experiment,
        {"id": experiment["id"], "state": ExperimentState.RUNNING},
        state=ExperimentState.ENDED,
        verdict=str(decision.verdict),
        reason=decision.reason[:120],
        estimate=estimate.estimate,
        lower=estimate.lower,
        upper=estimate.upper,
        records_sha256=audit_log.keep_blob(tx, "records", content),
        ended_at_us=tx.now_us,
    )
    if changed:
        facts = {"experiment_id": experiment["id"], "verdict": str(decision.verdict)}
        publish(tx, Event(EventType.EXPERIMENT_CONCLUDED, f"experiment:{experiment['id']}", facts))


def _plan(tx: Tx, proposal: Row) -> BetPlan:
    plan = BetPlan(
        effect=float(proposal["expected_effect"]),
        cap_tasks=proposal["cap_tasks"],
        alpha=production_config.number(tx, "sandbox.alpha"),
        treatment_share=production_config.number(tx, "sandbox.treatment_percent") / 100,
        base_rate=proposal["base_rate"],
    )
    return replace(plan, minimum_tasks=int(production_config.number(tx, "sandbox.minimum_tasks")))


def _insert(tx: Tx, proposal: Row, task_type: str, plan: BetPlan, salt: str) -> int:
    wait_us = seconds(production_config.number(tx, "sandbox.maximum_wait_seconds"))
    return sql.insert(
        tx,
        tables.experiment,
        proposal_id=proposal["id"],
        lap_id=proposal["lap_id"],
        parameter=proposal["parameter"],
        task_type=task_type,
        control_value=proposal["from_value"],
        treatment_value=proposal["to_value"],
        control_version=proposal["from_version"],
        state=ExperimentState.RUNNING,
        plan=plan.to_payload(),
        salt=salt,
        salt_commitment=assignment.commitment(salt),
        assigned_count=0,
        bet_state=sequential.start(plan).to_payload(),
        maximum_wait_us=wait_us,
        started_at_us=tx.now_us,
        closes_at_us=tx.now_us + proposal["cap_days"] * DAY_US,
    )
