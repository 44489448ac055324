"""Tallies: notes of what happened, counted into the windows of every series that they belong to.

Pure; stands under the snapshot. Sums are exact integers; a distribution is kept as its sum of squares, its
ends and a histogram of eight buckets an octave, from which any share of it is known to within 9 %. It never
knows which window it counts for.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from services.domain.measures import ALL, BY_NAME, Dimension, MetricKind

BUCKETS_PER_OCTAVE: Final = 8
DISTRIBUTIONS: Final = (MetricKind.DURATION, MetricKind.AMOUNT)


class Series(NamedTuple):
    """The name of one series."""

    metric: str
    dimension: str
    key: str


class Ended(NamedTuple):
    """The end of a user's task, as it was noted."""

    task_type: str
    agent_id: int | None
    model: str | None
    is_success: bool
    is_timeout: bool
    duration_us: int | None
    wait_us: int | None
    paid_microcredits: int | None


@dataclass(slots=True)
class Tally:
    """What one window of one series holds; `histogram` maps buckets to how many values fell into them.

    The denominator of a count is the number of its windows, which whoever writes a window says.
    """

    numerator: int = 0
    denominator: int = 0
    squares: float = 0.0
    lowest: int | None = None
    highest: int | None = None
    histogram: Counter[int] = field(default_factory=Counter)

    def add_values(self, values: Sequence[int]) -> None:
        """Count values of a duration or an amount."""
        if not values:
            return
        self.numerator += sum(values)
        self.denominator += len(values)
        self.squares += math.fsum(float(value) * float(value) for value in values)
        self.lowest = min(values) if self.lowest is None else min(self.lowest, *values)
        self.highest = max(values) if self.highest is None else max(self.highest, *values)
        self.histogram.update(map(bucket_of, values))

    def merge(self, other: "Tally") -> None:
        """Count what another tally of the same metric has counted."""
        self.numerator += other.numerator
        self.denominator += other.denominator
        self.squares += other.squares
        self.lowest = min((end for end in (self.lowest, other.lowest) if end is not None), default=None)
        self.highest = max((end for end in (self.highest, other.highest) if end is not None), default=None)
        self.histogram.update(other.histogram)


Tallies: TypeAlias = dict[Series, Tally]


def bucket_of(value: int) -> int:
    """Return the bucket of a value: ⌊8·log₂(max(1, value))⌋."""
    return math.floor(BUCKETS_PER_OCTAVE * math.log2(max(1, value)))


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the value below which `share` (in [0, 1]) of a histogram lies; None of an empty one.

    Inside the bucket that holds it the value is taken as spread evenly on the scale of logarithms: at most
    9 % off, half of that on average.
    """
    total = sum(histogram.values())
    if not total:
        return None
    rank, passed = share * total, 0
    for bucket in sorted(histogram):
        count = histogram[bucket]
        if passed + count >= rank:
            inside = (rank - passed) / count
            return float(2.0 ** ((bucket + inside) / BUCKETS_PER_OCTAVE))
        passed += count
    return float(2.0 ** ((max(histogram) + 1) / BUCKETS_PER_OCTAVE))


def tally_ended(notes: Iterable[Ended]) -> Tallies:
    """Count ended tasks into every series that they belong to."""
    groups: dict[tuple[str, int | None, str | None], list[Ended]] = defaultdict(list)
    for note in notes:
        groups[note.task_type, note.agent_id, note.model].append(note)
    found: Tallies = {}
    for (task_type, agent_id, model), members in groups.items():
        keys = {
            Dimension.PLATFORM: ALL,
            Dimension.TASK_TYPE: task_type,
            Dimension.AGENT: None if agent_id is None else str(agent_id),
            Dimension.MODEL: model,
        }
        for metric, tally in _group(members).items():
            for dimension in BY_NAME[metric].dimensions:
                key = keys[dimension]
                if key is not None and (tally.numerator or tally.denominator):
                    found.setdefault(Series(metric, dimension, key), Tally()).merge(tally)
    return found


def _group(members: Sequence[Ended]) -> dict[str, Tally]:
    """Return the tallies of tasks of one type, agent and model, by metric."""
    count = len(members)
    found = {
        "task_success": Tally(sum(note.is_success for note in members), count),
        "tasks_timed_out": Tally(sum(note.is_timeout for note in members), count),
        "tasks_ended": Tally(count),
    }
    values = {
        "task_duration": [note.duration_us for note in members],
        "task_wait": [note.wait_us for note in members],
        "task_cost": [note.paid_microcredits for note in members],
    }
    for metric, given in values.items():
        found[metric] = Tally()
        found[metric].add_values([value for value in given if value is not None])
    return found


def tally_posted(types: Mapping[str, int]) -> Tallies:
    """Count posted tasks, given how many there were of each type."""
    found: Tallies = {}
    for task_type, count in types.items():
        for name in ((Dimension.PLATFORM, ALL), (Dimension.TASK_TYPE, task_type)):
            found.setdefault(Series("tasks_posted", *name), Tally()).numerator += count
    return found


def tally_ticks(ticks: Mapping[tuple[str, bool], int]) -> Tallies:
    """Count ended ticks, given how many there were of each (job, was it on time)."""
    found: Tallies = {}
    for (job, is_on_time), count in ticks.items():
        for name in ((Dimension.PLATFORM, ALL), (Dimension.JOB, job)):
            tally = found.setdefault(Series("cron_on_time", *name), Tally())
            tally.merge(Tally(count if is_on_time else 0, count))
    return found


def tally_values(metric: str, values: Sequence[int]) -> Tallies:
    """Count values of one of the platform's own durations."""
    tally = Tally()
    tally.add_values(values)
    return {Series(metric, Dimension.PLATFORM, ALL): tally} if values else {}


def with_whole(tallies: Tallies) -> Tallies:
    """Return the same, with what every window says of the platform even when nothing happened."""
    always = ("task_success", "tasks_posted", "tasks_ended")
    return {**{Series(metric, Dimension.PLATFORM, ALL): Tally() for metric in always}, **tallies}
