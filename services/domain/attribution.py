"""Where the failures sit: which combination of dimensions explains those beyond the baseline.

Stands in the observe stage of the loop: the observatory hands in attempts and failures by leaf (task type,
agent, model, parameter version), and the three best answers go into the meta-task. Dimensions are names, and
nothing here knows what they mean. It never says why a combination fails, and never decides what is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

PSEUDO_ATTEMPTS: Final = 50.0  # with which a cell's own baseline is shrunk to the global rate
DIMENSIONS_MOST: Final = 3
SUSPECTS: Final = 3
COVERAGE_WEIGHT: Final = 0.2  # exponent of coverage in the score; purity has the rest
EXPLAINED_MOST: Final = 0.5  # of all failures that the expectation may account for

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """Attempts and failures of one leaf combination (task type, agent, model, ...), and its own past if
    known.
    """

    dimensions: Mapping[str, str]
    attempts: int
    failures: int
    baseline_attempts: int = 0
    baseline_failures: int = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A combination of one to three dimensions that may explain the failures; coverage, purity, score in
    [0, 1].

    leaves: the indices of the cells that it holds, those with most failures beyond expectation first.
    """

    dimensions: Mapping[str, str]
    attempts: int
    failures: int
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
    is kept. No failures: empty. Whether there are more failures than usual is not asked here. Raises
    ValueError for a baseline rate outside [0, 1].
    """
    if not 0.0 <= baseline_failure_rate <= 1.0:
        raise ValueError(f"baseline_failure_rate must lie in [0, 1], got {baseline_failure_rate!r}")
    leaves = _Leaves.of(cells, baseline_failure_rate)
    found = [one for names in leaves.groupings() for one in leaves.best(names, suspects)]
    ranked = sorted(found, key=lambda one: (-round(one.score, 12), len(one.names), one.names))
    chosen: list[Suspect] = []
    held: set[bytes] = set()
    for one in ranked:
        if len(chosen) == suspects:
            break
        inside = leaves.inside(one)
        same = inside.tobytes()
        if same not in held:
            held.add(same)
            chosen.append(leaves.suspect(one, inside))
    return tuple(chosen)


@dataclass(frozen=True, slots=True)
class _Found:
    names: tuple[str, ...]
    leaf: int
    score: float
    coverage: float
    purity: float


@dataclass(frozen=True, slots=True)
class _Leaves:
    """Columns of the cells; `codes` numbers the values of each dimension, −1 where a cell has none.

    excess: failures − expected, the expectation scaled down to at most half of all failures.
    """

    cells: Sequence[Cell]
    codes: dict[str, Codes]
    attempts: Floats
    failures: Floats
    expected: Floats
    excess: Floats

    @classmethod
    def of(cls, cells: Sequence[Cell], global_rate: float) -> "_Leaves":
        """Return the columns of the cells."""
        counts = [(c.attempts, c.failures, c.baseline_attempts, c.baseline_failures) for c in cells]
        columns = np.array(counts, dtype=np.float64).reshape(-1, 4).T
        attempts, failures, past_attempts, past_failures = columns
        rates = (past_failures + PSEUDO_ATTEMPTS * global_rate) / (past_attempts + PSEUDO_ATTEMPTS)
        names = sorted({name for cell in cells for name in cell.dimensions})
        codes = {name: _numbered([cell.dimensions.get(name) for cell in cells]) for name in names}
        expected = attempts * rates
        most, whole = EXPLAINED_MOST * failures.sum(), expected.sum()
        excess = failures - expected * (most / whole if whole > most else 1.0)
        return cls(cells, codes, attempts, failures, expected, excess)

    def groupings(self) -> Iterator[tuple[str, ...]]:
        """Yield the sets of one to three dimensions."""
        for size in range(1, DIMENSIONS_MOST + 1):
            yield from combinations(self.codes, size)

    def best(self, names: tuple[str, ...], most: int) -> Iterator[_Found]:
        """Yield the best combinations of values of these dimensions that have an excess and an outside."""
        values = [self.codes[name] for name in names]
        present = np.flatnonzero(np.all([column >= 0 for column in values], axis=0))
        keys = np.zeros(len(present), dtype=np.int64)
        for column in values:
            keys = np.unique(keys * (column.max() + 1) + column[present], return_inverse=True)[1]
        first = np.unique(keys, return_index=True)[1]
        attempts, failures, excess = (
            np.bincount(keys, column[present]) for column in (self.attempts, self.failures, self.excess)
        )
        outside = self.attempts.sum() - attempts
        kept = np.flatnonzero((excess > 0.0) & (outside > 0.0))
        inside_rate = excess[kept] / attempts[kept]
        outside_rate = np.maximum(1.0, self.failures.sum() - failures[kept]) / outside[kept]
        coverage = np.minimum(1.0, excess[kept] / self.excess.sum())
        purity = inside_rate / (inside_rate + outside_rate)
        score = coverage**COVERAGE_WEIGHT * purity ** (1.0 - COVERAGE_WEIGHT)
        order = np.argsort(-score, kind="stable")[:most]
        rows = (present[first[kept[order]]], score[order], coverage[order], purity[order])
        for leaf, *figures in zip(*(row.tolist() for row in rows), strict=True):
            yield _Found(names, leaf, *figures)

    def inside(self, found: _Found) -> npt.NDArray[np.bool_]:
        """Return which leaves with attempts a combination holds."""
        inside: npt.NDArray[np.bool_] = self.attempts > 0.0
        for name in found.names:
            inside &= self.codes[name] == self.codes[name][found.leaf]
        return inside

    def suspect(self, found: _Found, inside: npt.NDArray[np.bool_]) -> Suspect:
        """Return a combination with its sums, and its leaves by their own excess."""
        leaves = np.flatnonzero(inside)
        dimensions = self.cells[found.leaf].dimensions
        return Suspect(
            {name: dimensions[name] for name in found.names},
            int(self.attempts[leaves].sum()),
            int(self.failures[leaves].sum()),
            float(self.expected[leaves].sum()),
            found.coverage,
            found.purity,
            found.score,
            tuple(leaves[np.argsort(-self.excess[leaves], kind="stable")].tolist()),
        )


def _numbered(values: Sequence[str | None]) -> Codes:
    """Return the number of each value in the order of their names, −1 for None."""
    known = {value: number for number, value in enumerate(sorted(set(values) - {None}, key=str))}
    return np.array([known.get(value, -1) for value in values], dtype=np.int64)
