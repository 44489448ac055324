"""Planted drifts: a published figure changed by one inside a savepoint, to see whether the recount finds it.

Stands under the metric watchdog and its tests. Nothing that it changes is ever kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.market_invariants import Breach
from services.domain.measures import BY_NAME, Dimension, MetricKind
from services.domain.metric_recount import GAUGES, SPREADING, WHAT, Identity, Series
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

OWN: Final = frozenset({Identity.PARTS, Identity.POSSIBLE, Identity.WINDOWS, Identity.CORRECTIONS})
"""Classes that published rows show by themselves."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A drift of one: of which class, in which row, and what is written there; None leaves the row out."""

    identity: Identity
    row: Row
    values: Mapping[str, object] | None

    @property
    def series(self) -> Series:
        """Return the series that drifts."""
        return Series(self.row["metric"], self.row["dimension"], self.row["key"])

    def __str__(self) -> str:
        """Return the class and the series."""
        return f"{self.identity} {self.series}"


class _TakenBackError(Exception):
    """Ends the savepoint of a planted drift, with what was found in it."""

    def __init__(self, found: list[Breach]) -> None:
        super().__init__(len(found))
        self.found = found


def chosen(plants: Sequence[Plant], number: int) -> Plant:
    """Return the drift that a number stands for: first its class, then its place."""
    classes = sorted({plant.identity for plant in plants})
    wanted = classes[number // 7 % len(classes)]
    places = [plant for plant in plants if plant.identity == wanted]
    return places[number // 1_009 % len(places)]


def every_plant(rows: Sequence[Row]) -> list[Plant]:
    """Return every drift that can be planted in the rows of a window: each class, each of its places."""
    return [plant for row in rows for plant in _plants(row)]


def of_day(rows: Sequence[Row]) -> list[Plant]:
    """Return the drifts that can be planted in the rows of a day."""
    return [
        Plant(Identity.DAYS, row, {"numerator": row["numerator"] + 1})
        for row in rows
        if row["metric"] in WHAT and WHAT[row["metric"]] is not Identity.TICKS
    ]


def _plants(row: Row) -> list[Plant]:
    metric, kind = row["metric"], BY_NAME[row["metric"]].kind
    numerator, denominator = row["numerator"], row["denominator"]
    up, down = {"numerator": numerator + 1}, {"numerator": numerator - 1}
    found = [
        Plant(Identity.WINDOWS, row, {"window_start_us": row["window_start_us"] + 1}),
        Plant(Identity.CORRECTIONS, row, {"corrections": row["corrections"] + 1}),
    ]
    if metric in WHAT:
        is_full = kind is MetricKind.PROPORTION and numerator == denominator
        if numerator or not is_full:
            found.append(Plant(WHAT[metric], row, down if is_full else up))
        if denominator or kind is MetricKind.COUNT:
            found.append(Plant(Identity.SERIES, row, None))
    if metric in WHAT and row["dimension"] in (Dimension.TASK_TYPE, Dimension.JOB):
        found.append(Plant(Identity.PARTS, row, up))
    if kind is MetricKind.PROPORTION:
        found.append(Plant(Identity.POSSIBLE, row, {"numerator": denominator + 1}))
    if kind in SPREADING and row["histogram"]:
        bucket, count = min(row["histogram"].items())
        found.append(Plant(Identity.SPREAD, row, {"histogram": {**row["histogram"], bucket: count + 1}}))
        found.append(Plant(Identity.SPREAD, row, {"lowest": row["lowest"] - 1}))
        found.append(Plant(Identity.SPREAD, row, {"highest": row["highest"] + 1}))
    if metric in GAUGES:
        found.append(Plant(Identity.SERIES, row, None))
    if metric == "open_tasks":
        found.append(Plant(Identity.GAUGE, row, up))
        found.append(Plant(Identity.FLOW, row, down))
    return found


def tried(tx: Tx, plant: Plant, check: Callable[[], Sequence[Breach]]) -> list[Breach]:
    """Return what a check finds while a drift is planted; the drift is taken back."""
    try:
        with tx.savepoint():
            _write(tx, plant)
            raise _TakenBackError(list(check()))  # noqa: TRY301 (it is what takes the savepoint back)
    except _TakenBackError as taken_back:
        return taken_back.found


def _write(tx: Tx, plant: Plant) -> None:
    where: dict[str, Any] = {"id": plant.row["id"]}
    if plant.values is None:
        sql.update(tx, tables.snapshot, where, grain="planted")
    else:
        sql.update(tx, tables.snapshot, where, **plant.values)


def is_exactly(plant: Plant, found: Sequence[Breach]) -> bool:
    """Tell whether the drift was found by its class and its series, and nothing of another metric was."""
    metric = f"{plant.series.metric} of "
    is_named = any(
        breach.invariant == plant.identity
        and (breach.subject == str(plant.series) or plant.identity is Identity.PARTS)
        for breach in found
    )
    return is_named and all(breach.subject.startswith(metric) for breach in found)
