"""The standing slot of placebos: A/A experiments over all user tasks, with both arms alike.

Stands beside the stream and takes no level from it. A placebo goes through the very path of a change, so
that its promotion rate shows what the whole instrument does where nothing is true. It never changes a value.
"""

from collections.abc import Callable

from services.ab_sandbox import plans
from services.domain import assignment, sequential
from services.domain.clock import DAY_US, seconds
from services.domain.ledger_schema import EntryType
from services.domain.placebo import LONGEST_DAYS
from services.domain.states import ExperimentKind, ExperimentScope, ExperimentState
from services.operations import audit_log
from services.store import sql, tables
from services.store.tx import Tx

PARAMETER = "placebo"
SALT_BYTES = 32


def start_placebo(tx: Tx, entropy: Callable[[int], bytes]) -> int | None:
    """Start the next placebo when the slot is empty; return its id, or None where none is started."""
    cap_tasks = int(plans.number(tx, "placebo_tasks"))
    state = ExperimentState.RUNNING
    if not cap_tasks or sql.find_all(tx, tables.experiment, parameter=PARAMETER, state=state, limit=1):
        return None
    tx = audit_log.take_turn(tx).in_lap(None)
    plan = plans.placebo_plan(tx, cap_tasks)
    salt = entropy(SALT_BYTES).hex()
    experiment_id = sql.insert(
        tx,
        tables.experiment,
        kind=ExperimentKind.PLACEBO,
        proposal_id=None,
        lap_id=None,
        parameter=PARAMETER,
        task_type="",
        layer=PARAMETER,
        scope=ExperimentScope.TASK,
        window_us=0,
        control_value="",
        treatment_value="",
        control_version=0,
        state=state,
        plan=plan.to_payload(),
        salt=salt,
        salt_commitment=assignment.commitment(salt),
        assigned_count=0,
        treatment_share=plan.treatment_share,
        bet_state=sequential.start(plan).to_payload(),
        maximum_wait_us=seconds(plans.number(tx, "maximum_wait_seconds")),
        started_at_us=tx.now_us,
        closes_at_us=tx.now_us + LONGEST_DAYS * DAY_US,
    )
    audit_log.append(
        tx,
        EntryType.PLACEBO_STARTED,
        {
            "experiment_id": experiment_id,
            "salt_commitment": assignment.commitment(salt),
            "plan": plan.to_payload(),
        },
    )
    return experiment_id
