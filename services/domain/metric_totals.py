"""Running totals of what was published: counters that only rise, and histograms by octaves.

Pure; stands under the exposition of metrics. Windows are added once, corrections and what still waits on top,
so that a total never falls, whatever is pruned. It never reads a row by itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.domain.market_invariants import Row
from services.domain.measures import Dimension

OCTAVE: Final = 8
"""Buckets of the published histograms that make one octave."""
COUNTERS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("tasks_posted", Dimension.TASK_TYPE): ("posted", ""),
    ("task_success", Dimension.TASK_TYPE): ("verified", "ended"),
    ("tasks_timed_out", Dimension.TASK_TYPE): ("timed_out", ""),
    ("cron_on_time", Dimension.JOB): ("ticks_on_time", "ticks"),
}
"""Which counters the numerator and the denominator of a series are; of a type or of a job."""
SPREADS: Final = ("task_duration", "task_wait", "task_cost")


@dataclass(slots=True)
class Spread:
    """A histogram: sum and number of the values, and how many fell into each octave."""

    total: int = 0
    values: int = 0
    octaves: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Counters by (name, type or job), and spreads by (metric, type)."""

    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    spreads: dict[tuple[str, str], Spread] = field(default_factory=dict)

    def count(self, name: str, key: str, number: int) -> None:
        """Add to a counter."""
        if name:
            self.counters[name, key] = self.counters.get((name, key), 0) + number

    def add_windows(self, rows: Iterable[Row]) -> None:
        """Add published rows, of windows or of corrections (which carry no histogram)."""
        for row in rows:
            names = COUNTERS.get((row["metric"], row["dimension"]))
            if names is not None:
                self.count(names[0], row["key"], row["numerator"])
                self.count(names[1], row["key"], row["denominator"])
            if row["metric"] in SPREADS and row["dimension"] == Dimension.TASK_TYPE and row.get("histogram"):
                self._spread(row)

    def _spread(self, row: Row) -> None:
        spread = self.spreads.setdefault((row["metric"], row["key"]), Spread())
        spread.total += row["numerator"]
        for bucket, number in row["histogram"].items():
            octave = int(bucket) // OCTAVE
            spread.values += number
            spread.octaves[octave] = spread.octaves.get(octave, 0) + number

    def add_waiting(self, rows: Iterable[Row]) -> None:
        """Add (kind, task_type, is_success, is_timeout, notes): what no snapshot has taken up."""
        for row in rows:
            key, number = row["task_type"], row["notes"]
            if row["kind"] == "posted":
                self.count("posted", key, number)
            elif row["kind"] == "ended":
                self.count("ended", key, number)
                self.count("verified", key, number if row["is_success"] else 0)
                self.count("timed_out", key, number if row["is_timeout"] else 0)
            elif row["kind"] == "tick":
                self.count("ticks", key, number)
                self.count("ticks_on_time", key, number if row["is_success"] else 0)

    def to_payload(self) -> dict[str, Any]:
        """Return the totals as JSON."""
        return {
            "counters": [[*name, number] for name, number in sorted(self.counters.items())],
            "spreads": [
                [*name, one.total, one.values, {str(octave): n for octave, n in sorted(one.octaves.items())}]
                for name, one in sorted(self.spreads.items())
            ],
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> "Totals":
        """Return the totals that `to_payload` wrote; none from an empty mapping."""
        return cls(
            {(name, key): number for name, key, number in payload.get("counters", ())},
            {
                (metric, key): Spread(total, values, {int(octave): n for octave, n in octaves.items()})
                for metric, key, total, values, octaves in payload.get("spreads", ())
            },
        )
