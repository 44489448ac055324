"""The bars: what is asked, in which cell it is measured, and who stands beside us.

The lines are fixed here before anything is run; whether a bar is reached follows from the figure alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

import numpy as np

from tests.benchmarks.statistics import agreement, ours, peers
from tests.benchmarks.statistics.cells import CELLS
from tests.benchmarks.statistics.figures import (
    Figure,
    Measure,
    fewer_percent,
    mean_percent,
    mean_tasks,
    median_tasks,
    promoted_percent,
    within_percent,
)

RUNS_ASKED = 2_000
LABELS = {
    "naive": "naive p < 0.05",
    "naive, completion order": "naive p < 0.05, completion order",
    "bayes": "P(win) > 95 %",
    "growthbook": "GrowthBook sequential",
    "growthbook, completion order": "GrowthBook sequential, completion order",
    "msprt": "mSPRT τ = 0.1",
    "msprt, completion order": "mSPRT, completion order",
    "sequence": "asymptotic CS, one-sided",
    "safe": "safe 2×2",
    "ville": "ville",
    "oracle": "oracle that knows both rates",
    "completion order": "our bet fed in completion order",
    "bet per task": "our bet, wrongly per task",
    "stated": "ours, effect stated",
    "chi square": "chi-square p < 0.01",
}


class Sense(StrEnum):
    """On which side of its line a figure reaches the bar."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Bar:
    """A line to reach and the figure held to it: `rule` in `cell` under `measure`, beside `rivals`."""

    what: str
    sense: Sense
    line: float
    unit: str
    cell: str
    measure: Measure
    rule: str = "default"
    rivals: tuple[str, ...] = ()

    def is_reached(self, value: float) -> bool:
        """Tell whether a value lies on the right side of the line (no number never does)."""
        return value <= self.line if self.sense is Sense.AT_MOST else value >= self.line


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the bar, our figure, and each rival's by label (`bound`: computed, no runs)."""

    bar: Bar
    ours: Figure
    rivals: tuple[tuple[str, Figure], ...]

    @property
    def is_reached(self) -> bool:
        """Whether our figure reaches the bar."""
        return self.bar.is_reached(self.ours.value)


PEEKERS = ("naive", "bayes", "growthbook", "msprt", "sequence", "safe")
VALID = ("growthbook", "msprt", "sequence", "safe", "ville", "oracle")
SPEEDS = (
    ("0.67 to 0.94", "0.67 → 0.94", 0.67, 0.94, (75.0, 64.0)),
    ("0.65 to 0.75", "0.65 → 0.75", 0.65, 0.75, (650.0, 575.0)),
    ("0.90 to 0.93", "0.90 → 0.93", 0.90, 0.93, (2_600.0, 2_280.0)),
)
BOUNDS = {cell: peers.information_bound(control, treatment) for cell, _, control, treatment, _ in SPEEDS}
RULES = (("default", "default"), ("stated", "effect stated"))


def at_most(
    what: str, line: float, unit: str, cell: str, measure: Measure, *rivals: str, rule: str = "default"
) -> Bar:
    """Return a bar whose figure must not exceed its line."""
    return Bar(what, Sense.AT_MOST, line, unit, cell, measure, rule, rivals)


def at_least(
    what: str, line: float, unit: str, cell: str, measure: Measure, *rivals: str, rule: str = "default"
) -> Bar:
    """Return a bar whose figure must not fall short of its line."""
    return Bar(what, Sense.AT_LEAST, line, unit, cell, measure, rule, rivals)


def _nulls() -> list[Bar]:
    return [
        at_most(f"false promotion, null {rate}, 5,000 per arm, {words}", 5.0, "%", f"null {rate}",
                promoted_percent, *(PEEKERS if rule == "default" else ()), rule=rule)
        for rate in ("0.67", "0.90")
        for rule, words in RULES
    ]  # fmt: skip


def _speeds() -> list[Bar]:
    bars = []
    for cell, words, _, _, lines in SPEEDS:
        for (rule, plan), line in zip(RULES, lines, strict=True):
            rivals = VALID if rule == "default" else ()
            bars.append(
                at_most(f"{words}, mean tasks, {plan}", line, "tasks", cell, mean_tasks, *rivals, rule=rule)
            )
    within = within_percent(100)
    cell, words = SPEEDS[0][:2]
    for (rule, plan), line in zip(RULES, (78.0, 86.0), strict=True):
        rivals = VALID if rule == "default" else ()
        what = f"{words}, promoted within 100 tasks, {plan}"
        bars.append(at_least(what, line, "%", cell, within, *rivals, rule=rule))
    return bars


BARS = (
    *_nulls(),
    *_speeds(),
    at_most("null: share ramps 0.1 → 0.9, rate drifts 0.60 → 0.90, 2,000 tasks", 5.0, "%",
            "ramp and drift", promoted_percent, "stated", "naive", "bayes", "sequence", "msprt",
            "growthbook"),
    at_most("null: failures 90 s later in treatment, 1 task/s, 2,000 tasks", 5.0, "%",
            "slow failures", promoted_percent, "stated", "completion order", "naive, completion order",
            "msprt, completion order", "growthbook, completion order"),
    at_most("null: 12 unlike agents, arm by task, 400 tasks", 5.0, "%", "agents by task", promoted_percent,
            "naive", "sequence"),
    at_most("null: 12 unlike agents, arm by agent, 400 tasks, one bet per agent", 5.0, "%", "agents by agent",
            promoted_percent, "naive", "sequence", "bet per task"),
    at_most("stream of 1,000, 10 % true: false share of confirmed", 5.0, "%", "stream", mean_percent,
            "naive: false share", "bayes: false share", "uncorrected: false share",
            "provisional: false share", "lord alone: false share", rule="confirmed: false share"),
    at_least("stream of 1,000, 10 % true: power after probation", 60.0, "%", "stream", mean_percent,
             "naive: power", "bayes: power", "uncorrected: power", "provisional: power", "lord alone: power",
             rule="confirmed: power"),
    at_least("5 unlike types told to the bet, large effect: fewer tasks", 10.0, "%", "types, large",
             fewer_percent("pooled"), rule="stratified"),
    at_least("5 unlike types told to the bet, small effect: fewer tasks", 10.0, "%", "types, small",
             fewer_percent("pooled"), rule="stratified"),
    at_least("Pareto cost × 0.8: promoted by 2,000 tasks", 99.0, "%", "pareto 0.8", promoted_percent,
             "stated", "sequence", "naive"),
    at_most("Pareto cost × 0.8: mean tasks", 220.0, "tasks", "pareto 0.8", mean_tasks, "stated", "sequence"),
    at_most("Pareto cost, null: false promotion by 2,000 tasks", 5.0, "%", "pareto null", promoted_percent,
            "stated", "sequence", "naive"),
    at_most("harm 0.90 → 0.75: mean tasks to abort", 200.0, "tasks", "harm", mean_tasks),
    at_most("equal shares, peeking to 5,000 tasks: false alarm", 1.0, "%", "shares kept", promoted_percent,
            "chi square"),
    at_most("45/55 instead of equal shares: median tasks to see it", 1_100.0, "tasks", "shares broken",
            median_tasks, "chi square"),
)  # fmt: skip

COST = Bar("one update and decision", Sense.AT_MOST, 20.0, "µs", "", mean_tasks)


def label_of(rule: str) -> str:
    """Return a rule's name in the table."""
    name, _, measure = rule.partition(": ")
    words = {
        "uncorrected": "E ≥ 20, uncorrected",
        "lord alone": "LORD++ alone",
        "provisional": "ours, provisional",
    }
    return words.get(name, LABELS.get(name, name)) if measure else LABELS.get(rule, rule)


def rows_of(results: dict[str, dict[str, np.ndarray]]) -> list[Row]:
    """Return the table's rows for the cells that were run; a rival without an array was not installed."""
    rows = []
    for bar in BARS:
        if bar.cell not in results:
            continue
        arrays, cap = results[bar.cell], CELLS[bar.cell].cap
        rivals = [(label_of(rule), bar.measure(arrays, rule, cap)) for rule in bar.rivals if rule in arrays]
        if bar.measure is mean_tasks and bar.rule == "default" and bar.cell in BOUNDS:
            bound = BOUNDS[bar.cell]
            rivals.append(("information bound", Figure(bound, bound, bound, 0)))
        rows.append(Row(bar, bar.measure(arrays, bar.rule, cap), tuple(rivals)))
    return rows


def cost_row() -> Row:
    """Return the row of what one task costs, timed now beside one look of each installed peer."""
    took = ours.update_and_decision_us()
    rivals = tuple((name, Figure(us, us, us, 0)) for name, us in agreement.look_us().items())
    return Row(COST, Figure(took, took, took, 0), rivals)


def worst(differences: np.ndarray | None) -> float | None:
    """Return the largest of some differences, None where there are none; no number counts as infinite."""
    if differences is None or not len(differences):
        return None
    return float(np.where(np.isnan(differences), inf, differences).max())
