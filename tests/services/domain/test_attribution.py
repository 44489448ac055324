"""Attribution names the planted combination, and nobody when nothing is beyond the baseline."""

import numpy as np
import pytest

from services.domain.attribution import Cell, rank_cells


def fleet(seed: int, broken: dict[str, str], rate: float, attempts: float = 40) -> list[Cell]:
    """Build a task type × agent × model grid with 7 % failures and `rate` where `broken` matches."""
    rng = np.random.default_rng(seed)
    cells = []
    for kind in ("summary", "research_synthesis", "extraction", "coding"):
        for agent in ("ada", "bob", "cyd", "dan", "eve"):
            for model in ("small", "large"):
                dimensions = {"task_type": kind, "agent": agent, "model": model}
                n = int(rng.poisson(attempts))
                is_hit = broken.items() <= dimensions.items()
                cells.append(Cell(dimensions, n, int(rng.binomial(n, rate if is_hit else 0.07))))
    return cells


CAUSES = [
    {"task_type": "research_synthesis"},
    {"agent": "bob"},
    {"model": "large", "task_type": "coding"},
    {"agent": "eve", "model": "small"},
    {"task_type": "summary", "agent": "ada", "model": "large"},
]


def test_the_planted_cause_is_ranked_first_or_among_three() -> None:
    first = among = 0
    for seed in range(12):
        for cause in CAUSES:
            ranked = rank_cells(fleet(seed, cause, rate=0.35 if len(cause) < 3 else 0.7), 0.07)
            assert len(ranked) <= 3
            first += ranked[0].dimensions == cause
            among += cause in [suspect.dimensions for suspect in ranked]
    assert first / 60 >= 0.70
    assert among / 60 >= 0.85


def test_a_suspect_carries_the_published_score() -> None:
    cells = [Cell({"agent": "ada"}, 100, 40), Cell({"agent": "bob"}, 100, 14)]
    best = rank_cells(cells, 0.10)[0]
    assert best.dimensions == {"agent": "ada"}
    assert best.expected_failures == pytest.approx(10.0)
    assert best.coverage == pytest.approx(30 / 34)
    assert best.purity == pytest.approx(0.30 / (0.30 + 0.05)), "half of the 10 expected outside, not the 4"
    assert best.score == pytest.approx(best.coverage**0.2 * best.purity**0.8)


def test_a_dimension_with_one_value_explains_nothing() -> None:
    cells = [Cell({"agent": a, "model": "only"}, 100, f) for a, f in (("ada", 40), ("bob", 10))]
    assert [suspect.dimensions for suspect in rank_cells(cells, 0.10)] == [{"agent": "ada"}]


def test_no_excess_names_nobody() -> None:
    assert rank_cells([Cell({"agent": "ada"}, 100, 5), Cell({"agent": "bob"}, 100, 4)], 0.10) == ()
    assert rank_cells([], 0.10) == ()
    with pytest.raises(ValueError, match="baseline_failure_rate"):
        rank_cells([], 1.5)


def test_a_cell_known_to_fail_often_is_not_blamed_for_failing_as_usual() -> None:
    usual = Cell({"agent": "ada"}, 100, 40, baseline_attempts=5_000, baseline_failures=2_000)
    fresh = Cell({"agent": "bob"}, 100, 30, baseline_attempts=5_000, baseline_failures=250)
    assert rank_cells([usual, fresh], 0.2)[0].dimensions == {"agent": "bob"}
