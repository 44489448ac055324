"""The read model of the sandbox as an instrument: stream, placebos, freeze, holdout, layers.

Stands in the store beside the experiments (L6) and the freeze (L7). It says whether the instrument can be
trusted, not what it found. It never freezes or lifts anything, and it shows no salt that is still in use.
"""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Float, Label, case, cast, func, select

from services.domain.bet import Verdict
from services.domain.clock import DAY_US
from services.domain.holdout import Stratum, promotions_effect
from services.domain.parameters import ParameterRegistry
from services.domain.placebo import FREEZE_EVIDENCE, exact_interval, excess_evidence
from services.domain.states import LIVE_EXPERIMENTS, ExperimentKind, TaskKind, TaskState
from services.domain.stream import StreamRule, next_level
from services.store import config, governance
from services.store.sql import Row, find, rows
from services.store.tables import experiment, freeze, parameter, task
from services.store.tx import Tx
from services.store.views.experiments import experiments_of
from services.store.views.legs import e_value
from services.store.views.paging import JsonObject, at

HOLDOUT_DAYS = 28
TASK_FACTS = (
    "experiment_id", "parameter", "kind", "state", "scope", "treatment_share", "assigned_count", "started_at",
    "closes_at",
)  # fmt: skip


def sandbox_state(tx: Tx, registry: ParameterRegistry) -> JsonObject:
    """Return the state of the sandbox: stream, placebos, freeze in force, holdout, experiments by layer."""
    settings = _Settings(tx, registry)
    alpha = settings.number("sandbox.alpha")
    live = experiments_of(tx, _live(tx))
    return {
        "at": at(tx.now_us),
        "alpha": alpha,
        "stream": _stream(tx, alpha, is_dependent=bool(settings.number("sandbox.dependence"))),
        "placebos": _placebos(tx, alpha, live),
        "freeze": _freeze(find(tx, freeze, lifted_at_us=None)),
        "holdout": _holdout(tx),
        "layers": _layers(live),
    }


class _Settings:
    """Values in force by name, the registered default where nobody changed one."""

    def __init__(self, tx: Tx, registry: ParameterRegistry) -> None:
        self._tx, self._registry = tx, registry

    def number(self, name: str) -> float:
        row = find(self._tx, parameter, name=name)
        return float(self._registry.get(name).default if row is None else row["value"])


def _live(tx: Tx) -> list[Row]:
    statement = select(experiment).where(experiment.c.state.in_(LIVE_EXPERIMENTS)).order_by(experiment.c.id)
    return rows(tx, statement)


def _stream(tx: Tx, alpha: float, *, is_dependent: bool) -> JsonObject:
    """Return how far the stream has got, and the level that its next experiment would be confirmed at."""
    rule = StreamRule.E_LOND if is_dependent else StreamRule.LORD
    started, known = governance.stream_so_far(tx)
    level = min(alpha, next_level(rule, alpha, started + 1, known))
    states = (
        select(experiment.c.state, func.count().label("count"))
        .where(experiment.c.kind == ExperimentKind.CHANGE)
        .group_by(experiment.c.state)
    )
    return {
        "rule": rule.value,
        "started": started,
        "confirmed": len(known),
        "states": {row["state"]: row["count"] for row in rows(tx, states)},
        "next_position": started + 1,
        "next_alpha": level,
        "next_threshold": 1.0 / level,
    }


def _placebos(tx: Tx, alpha: float, live: Sequence[JsonObject]) -> JsonObject:
    """Return how often placebos win: over all that ended, and the evidence since a freeze was last lifted."""
    ended = (experiment.c.kind == ExperimentKind.PLACEBO, experiment.c.verdict.is_not(None))
    totals = rows(
        tx,
        select(
            func.count().label("ended"),
            func.coalesce(func.sum(case((experiment.c.verdict == Verdict.INVALID, 1), else_=0)), 0).label(
                "invalid"
            ),
        ).where(*ended),
    )[0]
    wins, counted = governance.placebo_counts(tx, 0)
    last_lifted_us = governance.last_lifted_us(tx)
    recent_wins, recent = governance.placebo_counts(tx, last_lifted_us)
    interval = exact_interval(wins, counted)
    logs = [row["e_log"] for row in rows(tx, select(_final_log()).where(*ended))]
    running = [item for item in live if item["kind"] == ExperimentKind.PLACEBO]
    return {
        "ended": int(totals["ended"]),
        "invalid": int(totals["invalid"]),
        "wins": wins,
        "rate": interval.rate,
        "lower": interval.lower,
        "upper": interval.upper,
        "mean_e": sum(e_value(float(log)) for log in logs) / len(logs) if logs else None,
        "counted_since": at(last_lifted_us) if last_lifted_us else None,
        "excess_e": excess_evidence(recent_wins, recent, alpha),
        "freeze_e": FREEZE_EVIDENCE,
        "running": _running_placebo(running[0]) if running else None,
    }


def _final_log() -> Label[float]:
    """Return the column of the last log E of a trial, read inside the stored state."""
    return cast(experiment.c.bet_state["e_log"].as_string(), Float).label("e_log")


def _running_placebo(item: JsonObject) -> JsonObject:
    return {
        "experiment_id": item["experiment_id"],
        "units": item["trial"]["units"],
        "cap_tasks": item["trial"]["cap_tasks"],
        "e_value": item["trial"]["e_value"],
        "started_at": item["started_at"],
    }


def _freeze(row: Row | None) -> JsonObject | None:
    if row is None:
        return None
    return {
        "reason": row["reason"],
        "ledger_index": row["ledger_index"],
        "frozen_at": at(row["frozen_at_us"]),
    }


def _holdout(tx: Tx) -> JsonObject | None:
    """Return the epoch in force and what its holdout says of all promotions since; None before the first."""
    epoch = config.epoch_now(tx)
    if epoch is None:
        return None
    since_us = max(epoch["started_at_us"], tx.now_us - HOLDOUT_DAYS * DAY_US)
    strata = _strata(tx, epoch["started_at_us"], since_us)
    effect = promotions_effect(strata)
    return {
        "epoch_id": epoch["id"],
        "since": at(epoch["started_at_us"]),
        "ledger_index": epoch["ledger_index"],
        "share": epoch["share"],
        "window_days": HOLDOUT_DAYS,
        "counted_since": at(since_us),
        "holdout": _counts(
            sum(stratum.held_tasks for stratum in strata), sum(stratum.held_successes for stratum in strata)
        ),
        "rest": _counts(
            sum(stratum.other_tasks for stratum in strata), sum(stratum.other_successes for stratum in strata)
        ),
        "difference": effect.difference,
        "lower": effect.lower,
        "upper": effect.upper,
        "task_types": [
            {
                "task_type": stratum.name,
                "holdout": _counts(stratum.held_tasks, stratum.held_successes),
                "rest": _counts(stratum.other_tasks, stratum.other_successes),
            }
            for stratum in strata
        ],
    }


def _counts(tasks: int, successes: int) -> JsonObject:
    return {"tasks": tasks, "successes": successes, "rate": successes / tasks if tasks else None}


def _strata(tx: Tx, epoch_us: int, since_us: int) -> list[Stratum]:
    """Count by type the user tasks that were awarded in the epoch and ended since an instant.

    Every such task counts, however it ended, as in an experiment: only a settled one is a success.
    """
    success = func.sum(case((task.c.state == TaskState.SETTLED, 1), else_=0))
    statement = (
        select(task.c.type, task.c.is_holdout, func.count().label("tasks"), success.label("successes"))
        .where(
            task.c.ended_at_us > since_us,
            task.c.kind == TaskKind.USER,
            task.c.awarded_at_us >= epoch_us,
        )
        .group_by(task.c.type, task.c.is_holdout)
    )
    found: dict[str, dict[bool, tuple[int, int]]] = defaultdict(dict)
    for row in rows(tx, statement):
        found[row["type"]][bool(row["is_holdout"])] = (int(row["tasks"]), int(row["successes"]))
    return [
        Stratum(name, *counts.get(True, (0, 0)), *counts.get(False, (0, 0)))
        for name, counts in sorted(found.items())
    ]


def _layers(live: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the experiments of now by layer: what is on trial, and what is on probation."""
    grouped: dict[str, list[JsonObject]] = defaultdict(list)
    for item in live:
        grouped[item["layer"]].append({name: item[name] for name in TASK_FACTS})
    return [{"layer": name, "experiments": items} for name, items in sorted(grouped.items())]
