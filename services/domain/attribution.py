"""Where the failures sit: which combination of dimensions explains those beyond the baseline.

Stands in the observe stage of the loop: the observatory hands in attempts and failures by leaf (task type,
agent, model, parameter version), and the three best answers go into the meta-task. Dimensions are names, and
nothing here knows what they mean. It never says why a combination fails, and never decides what is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

PSEUDO_ATTEMPTS: Final = 50.0  # with which a cell's own baseline is shrunk to the global rate
DIMENSIONS_MOST: Final = 3
SUSPECTS: Final = 3
LEAST_FOR_ANOTHER: Final = 3  # answers of which the last may be what explains the rest
COVERAGE_WEIGHT: Final = 0.2  # exponent of coverage in the score; purity has the rest
EXPLAINED_MOST: Final = 0.5  # of all failures that the expectation may account for

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cell:
    """Attempts and failures of one leaf combination (task type, agent, model, ...), and its own past if
    known. Counts may be fractions: means of several days, weighted samples.
    """

    dimensions: Mapping[str, str]
    attempts: float
    failures: float
    baseline_attempts: float = 0
    baseline_failures: float = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A combination of one to three dimensions that may explain the failures; coverage, purity, score in
    [0, 1].

    leaves: the indices of the cells that it holds, those with most failures beyond expectation first.
    """

    dimensions: Mapping[str, str]
    attempts: float
    failures: float
    expected_failures: float
    coverage: float
    purity: float
    score: float
    leaves: tuple[int, ...] = ()


def rank_cells(
    cells: Sequence[Cell], baseline_failure_rate: float, *, suspects: int = SUSPECTS
) -> tuple[Suspect, ...]:
    """Return the at most `suspects` combinations that best explain the failures beyond the baseline, best
    first.

    Expected failures of a leaf = attempts × its baseline rate shrunk to `baseline_failure_rate` with 50
    pseudo-attempts; all are scaled down together where they would account for more than half of the
    failures, so that a baseline that is unknown, stale or worse than today hides nothing. For each
    combination of 1 to 3 dimensions: coverage = its share of the excess, purity = excess rate inside /
    (excess rate inside + failure rate outside), score = coverage^0.2 · purity^0.8. A combination that holds
    every attempt explains nothing and is left out; of combinations that hold the same attempts the shortest
    is kept. Of three or more, the last is the best explanation of what is left without the first, if that
    is not named yet: there may be two causes. No failures: empty. Whether there are more failures than
    usual is not asked here. Raises ValueError for a baseline rate outside [0, 1].
    """
    if not 0.0 <= baseline_failure_rate <= 1.0:
        raise ValueError(f"baseline_failure_rate must lie in [0, 1], got {baseline_failure_rate!r}")
    leaves = _Leaves.of(cells, baseline_failure_rate)
    chosen = leaves.ranked(suspects)
    if len(chosen) >= LEAST_FOR_ANOTHER:
        for other in leaves.without(chosen[0]).ranked(1):
            seen = leaves.judged(other)
            if seen and all(not np.array_equal(leaves.inside(seen), leaves.inside(one)) for one in chosen):
                chosen[-1] = seen
    return tuple(map(leaves.suspect, chosen))


def whole(count: float) -> float:
    """Return a whole count as an int, for it to be written as one."""
    return int(count) if float(count).is_integer() else count


@dataclass(frozen=True, slots=True)
class _Grouping:
    """Leaves by their values of some dimensions: `keys` numbers the groups of the leaves in `present`.

    first: one leaf of each group.
    """

    names: tuple[str, ...]
    present: Codes
    keys: Codes
    first: Codes


@dataclass(frozen=True, slots=True)
class _Found:
    """A scored combination: the values that `leaf` has in the dimensions `names`."""

    names: tuple[str, ...]
    leaf: int
    coverage: float
    purity: float

    @property
    def score(self) -> float:
        """The published score, without the last digits in which equal sums may differ."""
        return round(float(self.coverage**COVERAGE_WEIGHT * self.purity ** (1.0 - COVERAGE_WEIGHT)), 12)


@dataclass(frozen=True, slots=True)
class _Leaves:
    """Columns of the cells; `codes` numbers the values of each dimension, −1 where a cell has none.

    expected: scaled down to at most half of all failures by `excess` alone.
    """

    cells: Sequence[Cell]
    codes: dict[str, Codes]
    groupings: tuple[_Grouping, ...]
    attempts: Floats
    failures: Floats
    expected: Floats

    @classmethod
    def of(cls, cells: Sequence[Cell], global_rate: float) -> "_Leaves":
        """Return the columns of the cells."""
        counts = [(c.attempts, c.failures, c.baseline_attempts, c.baseline_failures) for c in cells]
        columns = np.array(counts, dtype=np.float64).reshape(-1, 4).T
        attempts, failures, past_attempts, past_failures = columns
        rates = (past_failures + PSEUDO_ATTEMPTS * global_rate) / (past_attempts + PSEUDO_ATTEMPTS)
        names = sorted({name for cell in cells for name in cell.dimensions})
        codes = {name: _numbered([cell.dimensions.get(name) for cell in cells]) for name in names}
        groupings = tuple(
            _grouped(chosen, codes)
            for size in range(1, DIMENSIONS_MOST + 1)
            for chosen in combinations(codes, size)
        )
        return cls(cells, codes, groupings, attempts, failures, attempts * rates)

    @property
    def excess(self) -> Floats:
        """The failures beyond the expectation, which is scaled down to at most half of all failures."""
        most, whole = EXPLAINED_MOST * float(self.failures.sum()), float(self.expected.sum())
        return self.failures - self.expected * (most / whole if whole > most else 1.0)

    def ranked(self, most: int) -> list[_Found]:
        """Return the best combinations of all groupings; of those that hold the same leaves the shortest."""
        found = [one for grouping in self.groupings for one in self._best(grouping, most)]
        found.sort(key=lambda one: (-one.score, len(one.names), one.names))
        chosen: dict[bytes, _Found] = {}
        for one in found:
            if len(chosen) < most:
                chosen.setdefault(self.inside(one).tobytes(), one)
        return list(chosen.values())

    def judged(self, found: _Found) -> _Found | None:
        """Return a combination with the figures it has among these leaves, None when it has no excess."""
        chosen = self.inside(found)
        sums = [np.array([column[chosen].sum()]) for column in (self.attempts, self.failures, self.excess)]
        kept, coverage, purity = self._figures(*sums)
        return replace(found, coverage=coverage.item(), purity=purity.item()) if len(kept) else None

    def without(self, found: _Found) -> "_Leaves":
        """Return these leaves without anything that a combination holds."""
        rest = ~self.inside(found)
        left = (column * rest for column in (self.attempts, self.failures, self.expected))
        return _Leaves(self.cells, self.codes, self.groupings, *left)

    def inside(self, found: _Found) -> Flags:
        """Return which leaves with attempts a combination holds."""
        inside: Flags = self.attempts > 0.0
        for name in found.names:
            inside &= self.codes[name] == self.codes[name][found.leaf]
        return inside

    def _best(self, grouping: _Grouping, most: int) -> Iterator[_Found]:
        columns = (self.attempts, self.failures, self.excess)
        sums = [np.bincount(grouping.keys, column[grouping.present]).astype(np.float64) for column in columns]
        kept, coverage, purity = self._figures(*sums)
        order = np.argsort(-(coverage**COVERAGE_WEIGHT) * purity ** (1.0 - COVERAGE_WEIGHT), kind="stable")
        for place in order[:most].tolist():
            leaf = int(grouping.first[kept[place]])
            yield _Found(grouping.names, leaf, float(coverage[place]), float(purity[place]))

    def _figures(self, attempts: Floats, failures: Floats, excess: Floats) -> tuple[Codes, Floats, Floats]:
        """Return which groups have an excess and an outside, and their coverage and purity."""
        outside = self.attempts.sum() - attempts
        kept = np.flatnonzero((excess > 0.0) & (outside > 0.0))
        inside_rate = excess[kept] / attempts[kept]
        outside_rate = np.maximum(1.0, self.failures.sum() - failures[kept]) / outside[kept]
        coverage = np.minimum(1.0, excess[kept] / self.excess.sum())
        return kept, coverage, inside_rate / (inside_rate + outside_rate)

    def suspect(self, found: _Found) -> Suspect:
        """Return a combination with its sums, and its leaves by their own excess."""
        leaves = np.flatnonzero(self.inside(found))
        dimensions = self.cells[found.leaf].dimensions
        return Suspect(
            {name: dimensions[name] for name in found.names},
            whole(float(self.attempts[leaves].sum())),
            whole(float(self.failures[leaves].sum())),
            float(self.expected[leaves].sum()),
            found.coverage,
            found.purity,
            found.score,
            tuple(leaves[np.argsort(-self.excess[leaves], kind="stable")].tolist()),
        )


def _grouped(names: tuple[str, ...], codes: Mapping[str, Codes]) -> _Grouping:
    values = [codes[name] for name in names]
    present = np.flatnonzero(np.all([column >= 0 for column in values], axis=0))
    keys = np.zeros(len(present), dtype=np.int64)
    for column in values:
        keys = keys * (column.max() + 1) + column[present]
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    return _Grouping(names, present, numbers, present[first])


def _numbered(values: Sequence[str | None]) -> Codes:
    """Return the number of each value in the order of their names, −1 for None."""
    known = {value: number for number, value in enumerate(sorted(set(values) - {None}, key=str))}
    return np.array([known.get(value, -1) for value in values], dtype=np.int64)
