"""Evidence: everything an investigator needs of an episode, in one schema.

Stands between the episode and its meta-task: the metric with its window, baseline and interval, the three
combinations that explain most of the failures, failing tasks, recent changes and running experiments. It is
what every investigator gets, and it names no cause.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from services.domain.attribution import Cell, rank_cells
from services.domain.clock import DAY_US, to_rfc3339
from services.domain.states import BETTING_EXPERIMENTS, ExperimentKind, TaskState
from services.observatory.episodes import get_episode
from services.store import observations, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

EVIDENCE_TASKS: Final = 200
CHANGES_SHOWN: Final = 20
CHANGES_SINCE_US: Final = 7 * DAY_US
TASKS_READ: Final = 20_000
USUAL_TASKS_READ: Final = 50_000
SETTINGS_CUT: Final = 3
"""Settings that changed lately or are on trial and become dimensions of their own."""
HEALTHY_FAILURE_RATE: Final = 0.05


class EvidenceCell(TypedDict):
    """One combination of dimensions that may explain the failures; coverage, purity and score in [0, 1]."""

    dimensions: dict[str, str]
    attempts: int
    failures: int
    expected_failures: float
    coverage: float
    purity: float
    score: float
    failing_task_ids: list[int]


class Change(TypedDict):
    """A parameter that was changed lately."""

    parameter: str
    to: str
    changed_at: str


class RunningExperiment(TypedDict):
    """An experiment that was on when the episode opened."""

    experiment_id: int
    parameter: str


class Evidence(TypedDict):
    """The payload of an investigation. Instants are RFC 3339 in UTC; figures in the metric's own unit.

    observed, expected, band: what the newest windows hold together, what they would if nothing had
    changed, and between what they then lie in 99 of 100 cases (shares for a proportion); null for a check.
    """

    episode_id: int
    metric: str
    kind: str
    unit: str | None
    dimension: str
    key: str
    numerator: int
    denominator: int
    baseline_rate: float | None
    observed: float | None
    expected: float | None
    band: list[float] | None
    low_confidence: bool
    rule: str
    opened_at: str
    window_start: str
    window_end: str
    cells: list[EvidenceCell]
    failing_task_ids: list[int]
    recent_changes: list[Change]
    running_experiments: list[RunningExperiment]
    output: str | None


def gather_evidence(tx: Tx, episode_id: int) -> Evidence:
    """Return what an investigator needs: figures, window, worst cells, failing tasks, changes."""
    row = get_episode(tx, episode_id)
    found = row["evidence"]
    changes = observations.changes_since(tx, tx.now_us - CHANGES_SINCE_US, CHANGES_SHOWN)
    betting = list(BETTING_EXPERIMENTS)
    running = sql.find_all(tx, tables.experiment, kind=ExperimentKind.CHANGE, state=betting)
    settings = [item["name"] for item in changes] + [item["parameter"] for item in running]
    tasks = _concerned(tx, row)
    failing = [task for task in tasks if _is_failing(row, task)]
    return Evidence(
        episode_id=episode_id,
        metric=row["metric"],
        kind=row["kind"],
        unit=found.get("unit"),
        dimension=row["dimension"],
        key=row["key"],
        numerator=row["numerator"],
        denominator=row["denominator"],
        baseline_rate=row["baseline_rate"],
        observed=found.get("observed"),
        expected=found.get("expected"),
        band=found.get("interval"),
        low_confidence=bool(found["low_confidence"]),
        rule=row["rule"],
        opened_at=to_rfc3339(row["opened_at_us"]),
        window_start=to_rfc3339(found["window_start_us"]),
        window_end=to_rfc3339(found["window_end_us"]),
        cells=_worst_cells(tx, row, tasks, list(dict.fromkeys(settings))[:SETTINGS_CUT]),
        failing_task_ids=[task["id"] for task in failing[:EVIDENCE_TASKS]],
        recent_changes=[
            Change(parameter=one["name"], to=one["value"], changed_at=to_rfc3339(one["changed_at_us"]))
            for one in changes
        ],
        running_experiments=[
            RunningExperiment(experiment_id=one["id"], parameter=one["parameter"]) for one in running
        ],
        output=found.get("output"),
    )


def _concerned(tx: Tx, episode: Row) -> list[Row]:
    """Return the newest tasks that ended in an episode's window, where its metric is one of tasks."""
    if episode["metric"] not in FAILING:
        return []
    found = episode["evidence"]
    tasks = observations.ended_tasks(tx, found["window_start_us"], found["window_end_us"], TASKS_READ)
    is_of_type = episode["dimension"] == "task_type"
    return [task for task in tasks if not is_of_type or task["type"] == episode["key"]]


def _is_slow(episode: Row, task: Row) -> bool:
    interval = episode["evidence"].get("interval")
    return bool(interval and task["duration_us"] is not None and task["duration_us"] > interval[1])


FAILING: Final[Mapping[str, Any]] = {
    "task_success": lambda _, task: task["state"] != TaskState.SETTLED,
    "tasks_timed_out": lambda _, task: task["end_reason"] in observations.TIMED_OUT,
    "task_duration": _is_slow,
}
"""What makes a task one of those that a metric went wrong by."""


def _is_failing(episode: Row, task: Row) -> bool:
    return bool(FAILING[episode["metric"]](episode, task))


def _worst_cells(tx: Tx, episode: Row, tasks: Sequence[Row], settings: Sequence[str]) -> list[EvidenceCell]:
    """Return the three combinations of type, agent, model and changed settings that explain most."""
    leaves: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for task in tasks:
        leaves.setdefault(_leaf(task, settings), []).append(task)
    usual = _usual(tx, episode)
    failures = [[task["id"] for task in members if _is_failing(episode, task)] for members in leaves.values()]
    cells = [
        Cell(dict(leaf), len(members), len(failed), *usual.get(_who(members[0]), (0, 0)))
        for (leaf, members), failed in zip(leaves.items(), failures, strict=True)
    ]
    rate = episode["baseline_rate"]
    expected = HEALTHY_FAILURE_RATE if rate is None or episode["metric"] != "task_success" else 1 - rate
    return [
        EvidenceCell(
            dimensions=dict(suspect.dimensions),
            attempts=int(suspect.attempts),
            failures=int(suspect.failures),
            expected_failures=round(suspect.expected_failures, 3),
            coverage=round(suspect.coverage, 4),
            purity=round(suspect.purity, 4),
            score=round(suspect.score, 4),
            failing_task_ids=[number for leaf in suspect.leaves for number in failures[leaf]][
                :EVIDENCE_TASKS
            ],
        )
        for suspect in rank_cells(cells, expected)
    ]


def _who(task: Row) -> tuple[str, int | None, str | None]:
    return task["type"], task["awarded_agent_id"], task["model"]


def _leaf(task: Row, settings: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the names and values of the dimensions that a task has."""
    kind, agent_id, model = _who(task)
    found = {"task_type": kind, "agent": str(agent_id)}
    if model is not None:
        found["model"] = model
    values = task["effective_values"] or {}
    for name in settings:
        if name in values:
            found[name] = f"{values[name]['value']} (version {values[name]['version']})"
    return tuple(found.items())


def _usual(tx: Tx, episode: Row) -> dict[tuple[str, int | None, str | None], tuple[int, int]]:
    """Return attempts and failures by type, agent and model before the window, for shares of success."""
    if episode["metric"] != "task_success":
        return {}
    attempts: Counter[tuple[str, int | None, str | None]] = Counter()
    failures: Counter[tuple[str, int | None, str | None]] = Counter()
    for row in observations.usual_cells(tx, episode["evidence"]["window_start_us"], USUAL_TASKS_READ):
        attempts[_who(row)] += row["attempts"]
        failures[_who(row)] += row["attempts"] - int(row["successes"])
    return {who: (attempts[who], failures[who]) for who in attempts}
