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
    assert best.purity == pytest.approx(0.30 / (0.30 + 0.14)), "all failures outside count"
    assert best.score == pytest.approx(best.coverage**0.2 * best.purity**0.8)


def test_a_dimension_with_one_value_explains_nothing() -> None:
    cells = [Cell({"agent": a, "model": "only"}, 100, f) for a, f in (("ada", 40), ("bob", 10))]
    assert [suspect.dimensions for suspect in rank_cells(cells, 0.10)] == [{"agent": "ada"}]


def test_no_failures_name_nobody() -> None:
    assert rank_cells([Cell({"agent": "ada"}, 100, 0), Cell({"agent": "bob"}, 100, 0)], 0.10) == ()
    assert rank_cells([], 0.10) == ()
    with pytest.raises(ValueError, match="baseline_failure_rate"):
        rank_cells([], 1.5)


@pytest.mark.parametrize("baseline", [0.0, 0.01, 0.08, 0.2, 0.9, 1.0])
def test_a_stale_or_unknown_baseline_hides_nothing(baseline: float) -> None:
    for cause in CAUSES[:4]:
        ranked = rank_cells(fleet(5, cause, rate=0.5), baseline)
        assert ranked[0].dimensions == cause, baseline


def test_of_combinations_that_hold_the_same_attempts_the_most_general_is_named() -> None:
    """Eve alone runs the tiny model, so "eve", "tiny" and both together are one and the same."""
    cells = [
        Cell({"agent": agent, "model": model, "zone": zone}, 100, 60 if agent == "eve" else 5)
        for agent, model in (("ada", "small"), ("bob", "small"), ("eve", "tiny"))
        for zone in ("north", "south")
    ]
    cells.append(Cell({"agent": "eve", "model": "small", "zone": "north"}, 0, 0))
    ranked = rank_cells(cells, 0.05, suspects=10)
    assert [suspect.dimensions for suspect in ranked[:1]] == [{"agent": "eve"}]
    held = [(s.attempts, s.failures, s.leaves) for s in ranked]
    assert len(set(held)) == len(held)
    assert {"agent": "eve", "model": "tiny"} not in [suspect.dimensions for suspect in ranked]


def test_the_last_of_three_explains_what_the_first_leaves() -> None:
    """Parts of bob's failures score higher than "m3 in the north", and say nothing new."""
    cells = [
        Cell({"agent": agent, "model": model, "zone": zone}, 200, failures)
        for agent in ("ada", "bob", "cyd", "dan")
        for model in ("m1", "m2", "m3")
        for zone in ("north", "south")
        for failures in [150 if agent == "bob" else 60 if (model, zone) == ("m3", "north") else 8]
    ]
    first, second, last = (suspect.dimensions for suspect in rank_cells(cells, 0.04))
    assert first == {"agent": "bob"}
    assert second["agent"] == "bob"
    assert last == {"model": "m3", "zone": "north"}
    assert [s.dimensions for s in rank_cells(cells, 0.04, suspects=2)] == [first, second]


def test_a_small_cell_that_fails_wholly_is_not_the_cause_of_a_large_fall() -> None:
    cells = [Cell({"agent": f"a{n}"}, 400, 16) for n in range(9)]
    cells += [Cell({"agent": "large"}, 900, 300), Cell({"agent": "tiny"}, 2, 2)]
    assert rank_cells(cells, 0.04)[0].dimensions == {"agent": "large"}


def test_evidence_is_the_leaves_with_most_failures_beyond_expectation_first() -> None:
    cells = [
        Cell({"agent": "ada", "model": "small"}, 100, 20),
        Cell({"agent": "bob", "model": "small"}, 100, 5),
        Cell({"agent": "ada", "model": "large"}, 100, 50),
        Cell({"agent": "bob", "model": "large"}, 100, 5),
    ]
    assert rank_cells(cells, 0.05)[0].leaves == (2, 0)


def test_cells_may_lack_a_dimension() -> None:
    cells = [
        Cell({"agent": "ada"}, 100, 40),
        Cell({"agent": "bob", "model": "small"}, 100, 5),
        Cell({"model": "large"}, 100, 5),
    ]
    assert rank_cells(cells, 0.05)[0].dimensions == {"agent": "ada"}


def test_the_order_of_the_cells_does_not_matter() -> None:
    cells = fleet(3, CAUSES[2], rate=0.4)
    ranked, reversed_ = rank_cells(cells, 0.07), rank_cells(cells[::-1], 0.07)
    assert [s.dimensions for s in ranked] == [s.dimensions for s in reversed_]
    assert [s.score for s in ranked] == pytest.approx([s.score for s in reversed_])


def test_a_cell_known_to_fail_often_is_not_blamed_for_failing_as_usual() -> None:
    usual = Cell({"agent": "ada"}, 100, 40, baseline_attempts=5_000, baseline_failures=2_000)
    fresh = Cell({"agent": "bob"}, 100, 30, baseline_attempts=5_000, baseline_failures=250)
    assert rank_cells([usual, fresh], 0.2)[0].dimensions == {"agent": "bob"}
