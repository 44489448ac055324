"""How often attribution names the cause: simulated incidents over four or five dimensions, three worlds.

An incident is a table of leaves (values of four or five dimensions, some with hardly any traffic), a past of
ten times, once or none of today's attempts, a rate per leaf that differs by value and by leaf, and a cause of
one to three dimensions (sometimes two causes) that adds failures unevenly over its leaves. "calm" changes
nothing else; "drifting" moves every value and every leaf of today against the past; "thin" does so with few
attempts. It is written from what such tables look like, and from no published set of incidents.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from services.domain.attribution import Cell, rank_cells
from tests.benchmarks.observatory.report import AT_LEAST, AT_MOST, Row

TITLE = "Attribution: the planted cause among the answers"
INCIDENTS = 200  # of each world
QUICK_INCIDENTS = 40
LARGE_LEAVES = 10_000
LARGE_RUNS = 5
LARGE_SIZES = (10, 8, 6, 5, 5)
SHARES_OF_SIZES = (0.56, 0.36, 0.08)  # causes of one, two, three dimensions
TWO_CAUSES = 0.08
FIRST_BAR = 70
RECALL_BAR = 85
TIME_BAR_MS = 100.0

Floats = npt.NDArray[np.float64]
Cause = dict[str, str]


@dataclass(frozen=True)
class World:
    """How unlike its past a day is, in standard deviations of logarithms, and how much traffic it has."""

    name: str
    drifts_of_leaves: tuple[float, ...]
    drift_of_values: float
    attempts: tuple[float, float]  # powers of ten


WORLDS = (
    World("calm", (0.0, 0.15, 0.4), 0.0, (3.7, 6.0)),
    World("drifting", (0.15, 0.4, 0.7), 0.2, (3.7, 6.0)),
    World("thin", (0.15, 0.4, 0.7), 0.2, (3.0, 5.0)),
)


@dataclass(frozen=True)
class Incident:
    """Leaves with their counts, the rate of the whole past, and what was planted."""

    cells: list[Cell]
    past_rate: float
    causes: list[Cause]
    has_past: bool


def run(seed: int, quick: bool) -> list[Row]:
    """Return how often the cause comes first and among three, by world and kind of cause, and the time."""
    rows: list[Row] = []
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, 11, number])
        incidents = [draw(rng, world) for _ in range(QUICK_INCIDENTS if quick else INCIDENTS)]
        begun = time.perf_counter()
        ranked = [rank_cells(one.cells, one.past_rate) for one in incidents]
        spent_ms = 1e3 * (time.perf_counter() - begun) / len(incidents)
        named = [[dict(suspect.dimensions) for suspect in suspects] for suspects in ranked]
        rows.extend(_figures(world.name, incidents, named))
        rows.append(Row(f"{world.name}: one case", spent_ms, "ms", AT_MOST, TIME_BAR_MS, len(incidents)))
    large_ms = _large_ms(np.random.default_rng([seed, 12]))
    what = f"{LARGE_LEAVES:,} leaves of {len(LARGE_SIZES)} dimensions: median"
    return [*rows, Row(what, large_ms, "ms", AT_MOST, TIME_BAR_MS, LARGE_RUNS)]


def _figures(world: str, incidents: Sequence[Incident], named: Sequence[list[Cause]]) -> Iterator[Row]:
    """Yield the shares in percent: held to their lines over all incidents, told by kind."""
    count = len(incidents)
    first = np.array([names[0] in one.causes for one, names in zip(incidents, named, strict=True)])
    recall = np.array(
        [
            sum(cause in names for cause in one.causes) / len(one.causes)
            for one, names in zip(incidents, named, strict=True)
        ]
    )
    naive = np.array([_most_beyond(one) in one.causes for one in incidents])
    rivals = (("the value with most failures beyond expectation", 100.0 * naive.mean()),)
    yield Row(f"{world}: the cause first", 100.0 * first.mean(), "%", AT_LEAST, FIRST_BAR, count, rivals)
    yield Row(f"{world}: causes among three", 100.0 * recall.mean(), "%", AT_LEAST, RECALL_BAR, count)
    kinds = {"two causes": [len(one.causes) == 2 for one in incidents]}
    for size in (1, 2, 3):
        kinds[f"of {size} dimensions"] = [list(map(len, one.causes)) == [size] for one in incidents]
    kinds["no past known"] = [not one.has_past for one in incidents]
    for kind, chosen in kinds.items():
        if any(chosen):
            yield Row(f"{world}, {kind}: first", 100.0 * first[chosen].mean(), "%", runs=sum(chosen))
            yield Row(f"{world}, {kind}: among three", 100.0 * recall[chosen].mean(), "%", runs=sum(chosen))


def _most_beyond(incident: Incident) -> Cause:
    """Return the value of one dimension with most failures beyond the rate of the past."""
    beyond: defaultdict[tuple[str, str], float] = defaultdict(float)
    for cell in incident.cells:
        for item in cell.dimensions.items():
            beyond[item] += cell.failures - incident.past_rate * cell.attempts
    return dict([max(beyond, key=lambda item: beyond[item])])


def draw(rng: np.random.Generator, world: World) -> Incident:
    """Draw one incident that is large enough for an alert to have been raised."""
    while True:
        grid = _Grid.drawn(rng)
        incident = grid.incident(rng, world)
        if incident:
            return incident


@dataclass(frozen=True)
class _Grid:
    """All leaves: the numbers of their values (leaves × dimensions), their shares and usual rates."""

    values: npt.NDArray[np.int64]
    shares: Floats
    rates: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "_Grid":
        sizes = [int(rng.integers(*ends)) for ends in ((2, 5), (3, 9), (3, 12), (6, 35))]
        sizes += [int(rng.integers(2, 8))] * int(rng.integers(0, 2))
        rng.shuffle(sizes)
        values = np.array(list(product(*map(range, sizes))))
        shares, rates = np.ones(len(values)), np.full(len(values), 10 ** rng.uniform(-2.3, -0.9))
        for place, size in enumerate(sizes):
            popular = np.arange(1, size + 1) ** -rng.uniform(0.5, 1.8) * rng.lognormal(0, 0.4, size)
            shares *= popular[values[:, place]]
            rates *= rng.lognormal(0, rng.uniform(0, 0.5), size)[values[:, place]]
        shares *= rng.lognormal(0, 0.8, len(values)) * (rng.random(len(values)) < rng.uniform(0.3, 1))
        rates *= rng.lognormal(0, 0.25, len(values))
        return cls(values, shares / shares.sum(), np.clip(rates, 1e-4, 0.6))

    def incident(self, rng: np.random.Generator, world: World) -> Incident | None:
        """Return an incident in this grid, None when nobody would have noticed it."""
        expected = 10 ** rng.uniform(*world.attempts) * self.shares
        attempts, leaves = rng.poisson(expected), len(self.shares)
        past = rng.choice([10, 1, 0], p=[0.4, 0.4, 0.2])
        past_attempts = rng.poisson(expected * past)
        drift = rng.choice(world.drifts_of_leaves)
        past_failures = rng.binomial(
            past_attempts, np.clip(self.rates * rng.lognormal(0, drift / 2, leaves), 0, 0.9)
        )
        now = self.rates * rng.lognormal(0, drift, leaves) * rng.lognormal(0, 0.1)
        for column in self.values.T:
            now = now * rng.lognormal(0, world.drift_of_values, column.max() + 1)[column]
        causes, held = [], np.zeros(leaves, dtype=bool)
        for _ in range(2 if rng.random() < TWO_CAUSES else 1):
            size = int(rng.choice([1, 2, 3], p=SHARES_OF_SIZES))
            places = rng.choice(self.values.shape[1], size, replace=False)
            row = self.values[rng.choice(leaves, p=self.shares)]
            inside = np.all(self.values[:, places] == row[places], axis=1)
            if attempts[inside].sum() <= 0.003 * attempts.sum():
                return None
            added = 10 ** rng.uniform(-1.2, -0.05) * rng.lognormal(0, rng.uniform(0.3, 1.5), leaves)
            now = np.where(inside, now + (1 - now) * np.minimum(added, 1), now)
            causes.append({f"d{place}": f"v{row[place]}" for place in sorted(places)})
            held |= inside
        now = np.clip(now, 0, 0.98)
        usual, more = float(attempts @ self.rates), float((attempts * (now - self.rates))[held].sum())
        is_seen = more > max(4 * usual**0.5, 0.15 * usual) and attempts[held].sum() > 60
        if not is_seen or attempts[held].sum() > 0.6 * attempts.sum() or causes[0] in causes[1:]:
            return None
        counts = (attempts, rng.binomial(attempts, now), past_attempts, past_failures)
        rate = past_failures.sum() / past_attempts.sum() if past else counts[1].sum() / attempts.sum()
        return Incident(_cells(self.values, counts), float(rate), causes, bool(past))


def _cells(values: npt.NDArray[np.int64], counts: Sequence[npt.NDArray[Any]]) -> list[Cell]:
    rows = zip(values.tolist(), *(column.tolist() for column in counts), strict=True)
    return [
        Cell({f"d{place}": f"v{value}" for place, value in enumerate(row)}, *numbers)
        for row, *numbers in rows
        if numbers[0]
    ]


def _large_ms(rng: np.random.Generator) -> float:
    """Return the median time of a case with as many leaves as are asked for."""
    values = np.array(list(product(*map(range, LARGE_SIZES))))[:LARGE_LEAVES]
    attempts = rng.poisson(60, len(values)) + 1
    failures = rng.binomial(attempts, np.where(values[:, 1] == 3, 0.3, 0.05))
    cells = _cells(values, (attempts, failures, attempts, rng.binomial(attempts, 0.05)))
    times = []
    for _ in range(LARGE_RUNS):
        begun = time.perf_counter()
        rank_cells(cells, 0.05)
        times.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(times))
