"""Where the failures sit: which combination of dimensions explains those beyond the baseline.

Stands in the observe stage of the loop: the observatory hands in attempts and failures by leaf (task type,
agent, model, parameter version), and the three best answers go into the meta-task. It never says why a
combination fails, and never decides what is done about it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

PSEUDO_ATTEMPTS: Final = 50.0  # with which a cell's own baseline is shrunk to the global rate
DIMENSIONS_MOST: Final = 3
SUSPECTS: Final = 3


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
    """

    dimensions: Mapping[str, str]
    attempts: int
    failures: int
    expected_failures: float
    coverage: float
    purity: float
    score: float


@dataclass(slots=True)
class _Sum:
    attempts: int = 0
    failures: int = 0
    expected: float = 0.0
    leaves: list[int] = field(default_factory=list)


def rank_cells(cells: Sequence[Cell], baseline_failure_rate: float) -> tuple[Suspect, ...]:
    """Return the at most three combinations that best explain the failures beyond the baseline, best first.

    Expected failures of a leaf = attempts × its baseline rate shrunk to `baseline_failure_rate` with 50
    pseudo-attempts. For each combination of 1 to 3 dimensions: coverage = its share of the excess, purity =
    excess rate inside / (inside + outside), score = coverage^0.2 · purity^0.8; the excess outside counts as
    at least its own noise (√expected, at least 1), else every parent of the true combination would tie with
    it. A combination that holds every attempt explains nothing and is left out; of combinations that hold
    the same leaves the shortest is kept. No excess: empty. Raises ValueError for a baseline rate outside
    [0, 1].
    """
    if not 0.0 <= baseline_failure_rate <= 1.0:
        raise ValueError(f"baseline_failure_rate must lie in [0, 1], got {baseline_failure_rate!r}")
    sums: dict[tuple[tuple[str, str], ...], _Sum] = {}
    whole = _Sum()
    for leaf, cell in enumerate(cells):
        expected = cell.attempts * _shrunk_rate(cell, baseline_failure_rate)
        for into in (whole, *(sums.setdefault(key, _Sum()) for key in _combinations(cell))):
            into.attempts += cell.attempts
            into.failures += cell.failures
            into.expected += expected
            into.leaves.append(leaf)
    if whole.failures <= whole.expected:
        return ()
    suspects: dict[tuple[int, ...], Suspect] = {}
    for key, inside in sorted(sums.items(), key=lambda item: (len(item[0]), item[0])):
        suspect = _suspect(key, inside, whole)
        if suspect:
            suspects.setdefault(tuple(inside.leaves), suspect)
    ranked = sorted(
        suspects.values(), key=lambda s: (-s.score, len(s.dimensions), sorted(s.dimensions.items()))
    )
    return tuple(ranked[:SUSPECTS])


def _suspect(key: tuple[tuple[str, str], ...], inside: _Sum, whole: _Sum) -> Suspect | None:
    """Return the scored combination, None when it has no excess or no outside to compare with."""
    excess = inside.failures - inside.expected
    outside_attempts = whole.attempts - inside.attempts
    if excess <= 0.0 or outside_attempts <= 0:
        return None
    total = whole.failures - whole.expected
    inside_rate = excess / inside.attempts
    noise = math.sqrt(max(1.0, whole.expected - inside.expected))
    outside_rate = max(noise, total - excess) / outside_attempts
    coverage = min(1.0, excess / total)
    purity = inside_rate / (inside_rate + outside_rate)
    score = coverage**0.2 * purity**0.8
    return Suspect(dict(key), inside.attempts, inside.failures, inside.expected, coverage, purity, score)


def _combinations(cell: Cell) -> Iterator[tuple[tuple[str, str], ...]]:
    items = sorted(cell.dimensions.items())
    for size in range(1, DIMENSIONS_MOST + 1):
        yield from combinations(items, size)


def _shrunk_rate(cell: Cell, global_rate: float) -> float:
    failures = cell.baseline_failures + PSEUDO_ATTEMPTS * global_rate
    return failures / (cell.baseline_attempts + PSEUDO_ATTEMPTS)
