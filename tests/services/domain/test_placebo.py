"""Placebos that win too often: the evidence is fair where they win at their level, the interval is exact."""

import math

import pytest
from scipy import stats

from services.domain.bet import PlanRefusedError
from services.domain.placebo import ALTERNATIVES, FREEZE_EVIDENCE, exact_interval, excess_evidence


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("ended", [1, 2, 7, 40])
def test_the_evidence_is_fair_when_placebos_win_at_their_level(alpha, ended):
    mean = sum(
        stats.binom.pmf(wins, ended, alpha) * excess_evidence(wins, ended, alpha) for wins in range(ended + 1)
    )
    assert mean == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(("wins", "ended"), [(0, 0), (0, 9), (3, 20), (5, 5)])
def test_one_more_end_neither_gains_nor_loses_on_average(wins, ended):
    alpha, now = 0.05, excess_evidence(wins, ended, 0.05)
    then = alpha * excess_evidence(wins + 1, ended + 1, alpha)
    then += (1 - alpha) * excess_evidence(wins, ended + 1, alpha)
    assert then == pytest.approx(now, rel=1e-12)


def test_the_chance_that_a_sound_instrument_is_ever_frozen_is_at_most_one_percent():
    """Exact: paths of 400 ends that have not crossed, by their number of wins."""
    alpha, alive, frozen = 0.05, {0: 1.0}, 0.0
    for ended in range(1, 401):
        moved: dict[int, float] = {}
        for wins, weight in alive.items():
            for more, chance in ((0, 1 - alpha), (1, alpha)):
                if excess_evidence(wins + more, ended, alpha) >= FREEZE_EVIDENCE:
                    frozen += weight * chance
                else:
                    moved[wins + more] = moved.get(wins + more, 0.0) + weight * chance
        alive = moved
    assert sum(alive.values()) + frozen == pytest.approx(1.0)
    assert 0.0005 < frozen <= 0.01


def test_an_instrument_out_of_order_is_found():
    assert excess_evidence(3, 3, 0.05) == pytest.approx((2**3 + 4**3 + 10**3) / 3)
    assert excess_evidence(16, 80, 0.05) > FREEZE_EVIDENCE
    assert excess_evidence(4, 80, 0.05) < 1.0


def test_only_rates_over_the_level_are_alternatives():
    assert excess_evidence(2, 4, 0.2) == pytest.approx((0.5 / 0.2) ** 2 * (0.5 / 0.8) ** 2)
    assert excess_evidence(4, 4, max(ALTERNATIVES)) == 1.0


@pytest.mark.parametrize("error", [0.05, 0.01])
@pytest.mark.parametrize(
    ("wins", "ended"), [(0, 1), (1, 1), (0, 60), (60, 60), (1, 60), (7, 19), (50, 1_000)]
)
def test_the_interval_is_clopper_and_pearsons(wins, ended, error):
    found = exact_interval(wins, ended, error)
    limits = stats.binomtest(wins, ended).proportion_ci(1 - error, method="exact")
    assert found.rate == wins / ended
    assert (found.lower, found.upper) == pytest.approx((limits.low, limits.high), abs=1e-9)


def test_before_the_first_end_nothing_is_known():
    assert exact_interval(0, 0) == (None, 0.0, 1.0)
    assert excess_evidence(0, 0, 0.05) == 1.0


@pytest.mark.parametrize(
    ("wins", "ended", "alpha", "field"),
    [(2, 1, 0.05, "wins"), (-1, 1, 0.05, "wins"), (0, -1, 0.05, "wins"), (0, 1, 0.0, "alpha"),
     (0, 1, 1.0, "alpha"), (0, 1, math.nan, "alpha")],
)  # fmt: skip
def test_counts_that_cannot_be_are_refused_by_name(wins, ended, alpha, field):
    with pytest.raises(PlanRefusedError) as refused:
        excess_evidence(wins, ended, alpha)
    assert refused.value.field == field
    if field == "wins":
        with pytest.raises(PlanRefusedError, match="wins"):
            exact_interval(wins, ended)
