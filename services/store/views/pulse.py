"""The pulse: the few numbers that say how the platform is doing right now.

Stands in the store; the front page and the live terminal show it. Open tasks are counted whole; ended ones
only within a window, over the index of end times. Dead letters are sought among all deliveries that are not
pruned yet. It never judges.
"""

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from services.domain.checks import FAIL_AFTER_US, Layer, Status
from services.domain.clock import DAY_US, HOUR_US
from services.domain.states import (
    TASK_ENDS,
    DeliveryState,
    EpisodeState,
    ExperimentKind,
    ExperimentState,
    ProposalState,
    TaskKind,
    TaskState,
)
from services.store.observations import COUNTED
from services.store.sql import find, rows
from services.store.tables import (
    agent,
    delivery,
    episode,
    experiment,
    freeze,
    health_check,
    lap,
    ledger_head,
    proposal,
    review_item,
    task,
)
from services.store.tx import Tx
from services.store.views.paging import JsonObject, at

LIVE_STATES = tuple(state for state in TaskState if state not in TASK_ENDS)
ACTIVE_WINDOW_US = 7 * DAY_US


def pulse(tx: Tx, *, recent_us: int = HOUR_US, ended_us: int = DAY_US) -> JsonObject:
    """Return live counts of the platform.

    `tasks`: live tasks by state, and those that ended within `ended_us` by how. `recent_success`: per task
    type, settled over settled, failed and expired user tasks of the last `recent_us`, as the observatory
    counts; a type without any is left out.
    """
    head = find(tx, ledger_head, id=1)
    return {
        "at": at(tx.now_us),
        "tasks": _task_counts(tx, tx.now_us - ended_us),
        "recent_success": _recent_success(tx, tx.now_us - recent_us),
        "active_agents": _count(tx, agent.c.last_active_at_us >= tx.now_us - ACTIVE_WINDOW_US),
        "open_episodes": _count(tx, episode.c.state == EpisodeState.OPEN),
        "open_laps": _count(tx, lap.c.closed_at_us.is_(None)),
        "latest_lap_id": tx.connection.scalar(select(func.max(lap.c.id))),
        "open_proposals": _count(tx, proposal.c.state == ProposalState.OPEN),
        "running_experiments": _experiments(tx, ExperimentState.RUNNING),
        "probations": _experiments(tx, ExperimentState.PROBATION),
        "is_frozen": _count(tx, freeze.c.lifted_at_us.is_(None)) > 0,
        "failing_checks": _count(tx, _is_failing(tx)),
        "dead_letters": _count(tx, delivery.c.state == DeliveryState.DEAD),
        "review_items": _count(tx, review_item.c.closed_at_us.is_(None)),
        "ledger_size": head["size"] if head else 0,
        "ledger_root": head["root"] if head else None,
    }


def _is_failing(tx: Tx) -> ColumnElement[bool]:
    """Return the condition of checks of correctness that hold promotions: failing, or too old."""
    too_old = health_check.c.checked_at_us < tx.now_us - FAIL_AFTER_US
    return and_(health_check.c.layer == Layer.CORRECT, or_(health_check.c.status == Status.FAIL, too_old))


def _count(tx: Tx, condition: object) -> int:
    statement = select(func.count()).where(condition)  # type: ignore[arg-type]  # a column comparison
    return int(tx.connection.scalar(statement) or 0)


def _experiments(tx: Tx, state: ExperimentState) -> int:
    """Count the changes in a state; placebos have a slot of their own and change nothing."""
    return _count(tx, and_(experiment.c.state == state, experiment.c.kind == ExperimentKind.CHANGE))


def _task_counts(tx: Tx, ended_after_us: int) -> dict[str, int]:
    live = select(task.c.state, func.count().label("count")).where(task.c.state.in_(LIVE_STATES))
    ended = select(task.c.state, func.count().label("count")).where(task.c.ended_at_us > ended_after_us)
    counts = {state.value: 0 for state in TaskState}
    for statement in (live.group_by(task.c.state), ended.group_by(task.c.state)):
        counts.update({row["state"]: row["count"] for row in rows(tx, statement)})
    return counts


def _recent_success(tx: Tx, ended_after_us: int) -> dict[str, JsonObject]:
    statement = (
        select(
            task.c.type,
            func.sum(case((task.c.state == TaskState.SETTLED, 1), else_=0)).label("numerator"),
            func.count().label("denominator"),
        )
        .where(
            task.c.ended_at_us > ended_after_us,
            task.c.kind == TaskKind.USER,
            task.c.state.in_(COUNTED),
        )
        .group_by(task.c.type)
        .order_by(task.c.type)
    )
    return {
        row["type"]: {"numerator": int(row["numerator"]), "denominator": row["denominator"]}
        for row in rows(tx, statement)
    }
