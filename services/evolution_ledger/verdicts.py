"""The verdict of a leg, recomputed from its kept records and written once.

Stands between the sandbox, which decides, and the promotion. What it writes is held to the records as the
offline audit will hold it. It never weighs evidence anew.
"""

from services.domain.bet import BetPlan, BetState, Verdict
from services.domain.errors import ConflictError, LedgerBrokenError
from services.domain.events import Event, EventType
from services.domain.ledger_records import LegEvidence, check_verdict, outcome_fields, read_records
from services.domain.ledger_schema import EntryType
from services.domain.sequential import replay, start, start_probation
from services.domain.states import ExperimentKind, Leg
from services.event_bus import publish
from services.evolution_ledger import freezing
from services.operations import audit_log
from services.store import ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx


def record_verdict(tx: Tx, experiment_id: int, leg: Leg = Leg.TRIAL) -> int:
    """Write the VERDICT of an ended leg, recomputed from its kept records; return the entry's index.

    Called again it writes nothing and returns the same index. A placebo's is a PLACEBO_VERDICT, and may
    freeze promotion. Raises LedgerBrokenError when the records do not give the verdict that the sandbox
    stored, or an arm is not the one that the salt assigns.
    """
    experiment, row = ended_leg(tx, experiment_id, leg)
    tx = audit_log.take_turn(tx)
    is_placebo = experiment["kind"] == ExperimentKind.PLACEBO
    kind = EntryType.PLACEBO_VERDICT if is_placebo else EntryType.VERDICT
    written = ledger.entry_of_experiment(tx, experiment_id, experiment["lap_id"], kind, leg=leg)
    if written is not None:
        return written
    kept = sql.find(tx, tables.blob, sha256=row["records_sha256"])
    if kept is None:
        msg = f"the records of experiment {experiment_id} are missing"
        raise LedgerBrokenError(msg)
    payload = _verdict_of(experiment, row, leg, bytes(kept["content"]))
    index = audit_log.append(tx, kind, payload)
    if is_placebo:
        freezing.judge_placebos(tx)
        return index
    facts = {"experiment_id": experiment_id, "verdict": row["verdict"], "leg": str(leg)}
    told = {**facts, "ledger_index": index}
    publish(tx, Event(EventType.VERDICT_RECORDED, f"experiment:{experiment_id}", told))
    return index


def ended_leg(tx: Tx, experiment_id: int, leg: Leg) -> tuple[Row, Row]:
    """Return the experiment and the row of one of its legs; raise ConflictError unless that leg has ended."""
    experiment = sql.find(tx, tables.experiment, id=experiment_id)
    row = experiment
    if leg is Leg.PROBATION:
        row = sql.find(tx, tables.probation, experiment_id=experiment_id)
    if experiment is None or row is None or row["verdict"] is None:
        msg = f"the {leg} of experiment {experiment_id} has not ended"
        raise ConflictError(msg, field="experiment_id")
    return experiment, row


def leg_start(experiment: Row, row: Row, leg: Leg) -> tuple[BetPlan, BetState]:
    """Return plan and first state of a leg: a probation's follows from the trial's last state."""
    trial = BetPlan.from_payload(experiment["plan"])
    if leg is Leg.TRIAL:
        return trial, start(trial)
    plan = BetPlan.from_payload(row["plan"])
    ended = BetState.from_payload(experiment["bet_state"])
    return start_probation(
        trial, ended, alpha=plan.alpha, share=plan.treatment_share, cap_tasks=plan.cap_tasks
    )


def _verdict_of(experiment: Row, row: Row, leg: Leg, content: bytes) -> dict[str, object]:
    """Return the payload of a leg's verdict, held to its records as the offline audit will."""
    plan, state = leg_start(experiment, row, leg)
    alpha = float(experiment["plan"]["alpha"])
    evidence = LegEvidence(experiment["id"], leg, plan, state, row["salt_commitment"], alpha)
    try:
        _, records = read_records(content)
        payload: dict[str, object] = {
            "experiment_id": experiment["id"],
            "verdict": row["verdict"],
            "reason": row["reason"],
            **outcome_fields(replay(plan, records, state)),
            "estimate": repr(row["estimate"]),
            "lower": repr(row["lower"]),
            "upper": repr(row["upper"]),
            "salt": row["salt"],
            "records_sha256": row["records_sha256"],
        }
        if experiment["kind"] != ExperimentKind.PLACEBO:
            payload |= {"proposal_id": experiment["proposal_id"], "leg": str(leg)}
        check_verdict(evidence, payload, content)
    except ValueError as error:
        msg = f"experiment {experiment['id']} is not what its records say: {error}"
        raise LedgerBrokenError(msg) from error
    return payload


def is_won(row: Row) -> bool:
    """Tell whether a leg's verdict is a win."""
    return bool(row["verdict"] == Verdict.WIN)
