"""Probation: a promoted value runs for most tasks, the rest stays on the old one until the win is confirmed.

Stands after the promotion. The wealth of the trial goes on, with a fresh salt; harm is watched afresh. A
promotion that is not confirmed in its time is rolled back. It never promotes and never rolls back itself.
"""

from collections.abc import Callable

from services.ab_sandbox import plans
from services.domain import assignment, sequential
from services.domain.bet import BetPlan, BetState
from services.domain.clock import HOUR_US, seconds
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.states import ExperimentState
from services.event_bus import publish
from services.operations import audit_log
from services.store import governance, sql, tables
from services.store.tx import Tx

SALT_BYTES = 32
UNWATCHED_US = HOUR_US
"""A promotion that its event has not put on probation by then is put on it by the clock."""


def start_probation(tx: Tx, experiment_id: int, entropy: Callable[[int], bytes]) -> bool:
    """Start the probation of an experiment whose value was promoted; tell whether it started now.

    Plan and state follow from the trial's alone, so that anyone can recompute them. An experiment from before
    there were levels has none to be confirmed at: its promotion ends it, as it was promised at its start.
    Called again it changes nothing.
    """
    tx = audit_log.take_turn(tx)
    where = {"id": experiment_id, "state": ExperimentState.PROVISIONAL}
    experiment = sql.find(tx, tables.experiment, lock=True, **where)
    if experiment is None:
        return False
    if experiment["confirm_alpha"] is None:
        sql.update(tx, tables.experiment, where, state=ExperimentState.CONFIRMED, ended_at_us=tx.now_us)
        return False
    tx = tx.in_lap(experiment["lap_id"])
    plan, state = sequential.start_probation(
        BetPlan.from_payload(experiment["plan"]),
        BetState.from_payload(experiment["bet_state"]),
        alpha=experiment["confirm_alpha"],
        share=1.0 - plans.number(tx, "probation_percent") / plans.PERCENT,
        cap_tasks=int(plans.number(tx, "probation_tasks")),
    )
    salt = entropy(SALT_BYTES).hex()
    sql.insert(
        tx,
        tables.probation,
        experiment_id=experiment_id,
        plan=plan.to_payload(),
        salt=salt,
        salt_commitment=assignment.commitment(salt),
        first_ordinal=experiment["assigned_count"],
        bet_state=state.to_payload(),
        started_at_us=tx.now_us,
        closes_at_us=tx.now_us + seconds(plans.number(tx, "probation_seconds")),
    )
    share = plan.treatment_share
    sql.update(tx, tables.experiment, where, state=ExperimentState.PROBATION, treatment_share=share)
    facts = {"experiment_id": experiment_id, "proposal_id": experiment["proposal_id"]}
    commitment = {"salt_commitment": assignment.commitment(salt), "plan": plan.to_payload()}
    audit_log.append(tx, EntryType.PROBATION_STARTED, {**facts, **commitment})
    publish(tx, Event(EventType.PROBATION_STARTED, f"experiment:{experiment_id}", facts))
    return True


def watch_promotions(tx: Tx, entropy: Callable[[int], bytes]) -> int:
    """Start the probations whose event was lost (a dead letter); return how many.

    No value may stay in production without a watch because one delivery could not be made.
    """
    late = governance.unwatched_promotions(tx, tx.now_us - UNWATCHED_US)
    return sum(start_probation(tx, experiment_id, entropy) for experiment_id in late)
