"""The start of a trial: salt, plan and level are fixed, committed to and written before the first task.

Stands between the vote and the bet. One experiment per parameter, from its trial to the end of its
probation, and one trial at a time per layer. It never starts what the vote did not pass.
"""

from collections.abc import Callable

from services.ab_sandbox import plans
from services.domain import assignment, sequential
from services.domain.bet import BetPlan
from services.domain.clock import DAY_US, seconds
from services.domain.events import Event, EventType
from services.domain.ledger_schema import EntryType
from services.domain.parameters import ParameterRegistry, Risk
from services.domain.states import (
    LIVE_EXPERIMENTS,
    ExperimentKind,
    ExperimentScope,
    ExperimentState,
    ProposalState,
)
from services.event_bus import publish
from services.operations import audit_log, levels, production_config
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

SALT_BYTES = 32


def start_experiment(
    tx: Tx, registry: ParameterRegistry, proposal_id: int, entropy: Callable[[int], bytes]
) -> int | None:
    """Start the experiment of a passed proposal; return its id, or None when it cannot start (yet).

    The salt is secret until the end; the ledger holds a commitment to it, the whole plan of the bet and the
    level of its confirmation. A setting that moved since the vote is refused: its old value is no control
    any more.
    """
    tx = audit_log.take_turn(tx)
    proposal = sql.find(tx, tables.proposal, lock=True, id=proposal_id)
    if proposal is None or proposal["state"] != ProposalState.PASSED:
        return None
    tx = tx.in_lap(proposal["lap_id"])
    grace_us = seconds(production_config.number(tx, "consensus.start_grace_seconds"))
    if tx.now_us >= proposal["decided_at_us"] + grace_us:
        return None  # the tally expires it
    parameter = registry.get(proposal["parameter"])
    if parameter.risk is Risk.FIXED:
        _refuse_to_start(tx, proposal, f"{parameter.name} is FIXED now")
        return None
    if production_config.effective(tx, parameter.name).version != proposal["from_version"]:
        _refuse_to_start(tx, proposal, f"{parameter.name} was changed after the proposal was filed")
        return None
    if _is_occupied(tx, parameter.name, parameter.layer_name):
        return None
    plan = plans.plan_of(tx, proposal)
    experiment_id = _insert(tx, proposal, (parameter.task_type, parameter.layer_name), plan, entropy)
    where = {"id": proposal_id, "state": ProposalState.PASSED}
    sql.update(tx, tables.proposal, where, state=ProposalState.TESTING)
    facts = {"experiment_id": experiment_id}
    publish(tx, Event(EventType.EXPERIMENT_STARTED, f"experiment:{experiment_id}", facts))
    return experiment_id


def start_waiting(tx: Tx, registry: ParameterRegistry, entropy: Callable[[int], bytes]) -> int:
    """Start passed proposals that had to wait for another experiment; return how many started."""
    waiting = sql.find_all(tx, tables.proposal, state=ProposalState.PASSED)
    return sum(start_experiment(tx, registry, proposal["id"], entropy) is not None for proposal in waiting)


def _is_occupied(tx: Tx, parameter: str, layer: str) -> bool:
    """Tell whether the parameter is in an experiment, or its layer in a trial."""
    live = list(LIVE_EXPERIMENTS)
    if sql.find_all(tx, tables.experiment, parameter=parameter, state=live, limit=1):
        return True
    return bool(sql.find_all(tx, tables.experiment, layer=layer, state=ExperimentState.RUNNING, limit=1))


def _refuse_to_start(tx: Tx, proposal: Row, reason: str) -> None:
    """End a passed proposal whose parameter is not what it was when it was filed."""
    where = {"id": proposal["id"], "state": ProposalState.PASSED}
    state = ProposalState.REFUSED
    sql.update(tx, tables.proposal, where, state=state, ended_at_us=tx.now_us, end_reason=reason)
    facts = {"proposal_id": proposal["id"], "experiment_id": None, "parameter": proposal["parameter"]}
    audit_log.append(tx, EntryType.REFUSED, {**facts, "reason": reason})
    told = {"proposal_id": proposal["id"], "state": str(state), "meta_task_id": proposal["meta_task_id"]}
    publish(tx, Event(EventType.PROPOSAL_CLOSED, f"proposal:{proposal['id']}", told))


def _insert(
    tx: Tx, proposal: Row, place: tuple[str, str], plan: BetPlan, entropy: Callable[[int], bytes]
) -> int:
    salt = entropy(SALT_BYTES).hex()
    rule, position, level = levels.level_now(tx, plan.alpha)
    is_windowed = proposal["scope"] != ExperimentScope.TASK
    window_us = seconds(plans.number(tx, "window_seconds")) if is_windowed else 0
    experiment_id = sql.insert(
        tx,
        tables.experiment,
        kind=ExperimentKind.CHANGE,
        proposal_id=proposal["id"],
        lap_id=proposal["lap_id"],
        parameter=proposal["parameter"],
        task_type=place[0],
        layer=place[1],
        scope=proposal["scope"],
        window_us=window_us,
        control_value=proposal["from_value"],
        treatment_value=proposal["to_value"],
        control_version=proposal["from_version"],
        state=ExperimentState.RUNNING,
        plan=plan.to_payload(),
        salt=salt,
        salt_commitment=assignment.commitment(salt),
        assigned_count=0,
        treatment_share=plan.ramp_share or plan.treatment_share,
        stream_position=position,
        confirm_alpha=level,
        bet_state=sequential.start(plan).to_payload(),
        maximum_wait_us=seconds(plans.number(tx, "maximum_wait_seconds")),
        started_at_us=tx.now_us,
        closes_at_us=tx.now_us + proposal["cap_days"] * DAY_US,
    )
    audit_log.append(
        tx,
        EntryType.EXPERIMENT_STARTED,
        {
            "experiment_id": experiment_id,
            "proposal_id": proposal["id"],
            "parameter": proposal["parameter"],
            "control": proposal["from_value"],
            "treatment": proposal["to_value"],
            "salt_commitment": assignment.commitment(salt),
            "plan": plan.to_payload(),
            "scope": proposal["scope"],
            "window_us": window_us,
            "stream_rule": str(rule),
            "stream_position": position,
            "confirm_alpha": repr(level),
        },
    )
    return experiment_id
