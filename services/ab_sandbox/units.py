"""What is bet on once: exposures grouped by unit, released in assignment order, as records of the bet.

Pure. Stands between the exposures that the store keeps and the bet. Counting in completion order would
favour the arm whose failures take longer (up to 96 % false promotions measured for a timeout), and counting
the tasks of one randomised agent as if each were a draw gives 17 to 35 %. It never drops a task.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean

from services.domain.bet import BetPlan, Record
from services.domain.clock import SECOND_US
from services.domain.metrics import Metric
from services.store.sql import Row


def units_of(exposures: Iterable[Row]) -> list[list[Row]]:
    """Return the exposures grouped by unit, units in order of their first assignment."""
    grouped: dict[str, list[Row]] = {}
    for row in exposures:
        grouped.setdefault(row["unit"], []).append(row)
    return list(grouped.values())


def closes_at_us(unit: Sequence[Row], started_at_us: int, window_us: int) -> int:
    """Return when no more task can join a unit: at once for a task, else at the end of its window."""
    first_us = int(unit[0]["assigned_at_us"])
    if not window_us:
        return first_us
    return started_at_us + ((first_us - started_at_us) // window_us + 1) * window_us


def released(
    units: Iterable[list[Row]], *, now_us: int, started_at_us: int, window_us: int, maximum_wait_us: int
) -> list[list[Row]]:
    """Return the units that may be bet on: the longest prefix of closed units all of whose tasks resolved.

    A task resolves by its outcome, or by the maximum wait after its assignment; one unresolved task holds
    back every unit that was assigned after its own.
    """
    ready: list[list[Row]] = []
    for unit in units:
        is_closed = now_us >= closes_at_us(unit, started_at_us, window_us)
        if not is_closed or not all(_has_resolved(row, now_us, maximum_wait_us) for row in unit):
            break
        ready.append(unit)
    return ready


def _has_resolved(row: Row, now_us: int, maximum_wait_us: int) -> bool:
    return row["outcome"] is not None or now_us - row["assigned_at_us"] >= maximum_wait_us


def measure_of(row: Row, metric: Metric, maximum_wait_us: int) -> float:
    """Return a task's measure: success in {0, 1}, seconds, or microcredits.

    A task that failed or did not resolve counts as the worst: 0, the maximum wait, its reserve price (which
    is what the exposure holds until the task is paid).
    """
    is_success = row["outcome"] == 1.0
    if metric is Metric.SUCCESS:
        return 1.0 if is_success else 0.0
    if metric is Metric.DURATION:
        return float(row["duration_seconds"]) if is_success else maximum_wait_us / SECOND_US
    return float(row["cost_microcredits"] or 0)


def record_of(
    plan: BetPlan, unit: Sequence[Row], *, ordinal: int, started_at_us: int, maximum_wait_us: int
) -> Record:
    """Return the bet's record of a unit: the mean of its tasks' measures (one task: its measure)."""

    def mean(metric: Metric) -> float:
        return fmean(measure_of(row, metric, maximum_wait_us) for row in unit)

    first = unit[0]
    return Record(
        ordinal,
        first["unit"],
        first["arm"],
        first["share"],
        mean(plan.metric),
        first["stratum"],
        first["assigned_at_us"] - started_at_us,
        all(row["outcome"] is not None and row["is_resolved"] for row in unit),
        tuple(mean(guardrail.metric) for guardrail in plan.guardrails),
    )
