"""The detectors: quiet when nothing happened, quick when something did.

Nulls and drops are simulated with fixed seeds; a plain binomial test or a fixed line fails the null cells.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.anomaly import (
    Detection,
    Rule,
    Sample,
    detect_proportion,
    fit_baseline,
    is_recovered,
    lower_tail,
    proportion_band,
    threshold_of,
)
from services.domain.measures import Bad

NOMINAL = 0.168  # budget per week of one metric that means p < 1e-3 an hour


def hours(seed: int, count: int, volume: float, rate: float, correlation: float = 0.0) -> list[Sample]:
    """Draw hourly samples with a daily volume cycle and beta-binomial successes."""
    rng = np.random.default_rng(seed)
    cycle = 1 + 0.5 * np.sin(2 * np.pi * np.arange(count) / 24)
    attempts = rng.poisson(volume * cycle)
    rates = np.full(count, rate)
    if correlation:
        strength = 1 / correlation - 1
        rates = rng.beta(rate * strength, (1 - rate) * strength, size=count)
    return [Sample(int(x), int(n)) for x, n in zip(rng.binomial(attempts, rates), attempts, strict=True)]


def hours_to_detection(before: list[Sample], after: list[Sample], metrics: int = 60) -> float:
    for k in range(1, len(after) + 1):
        if detect_proportion(before + after[:k], metrics=metrics):
            return k
    return math.inf


# --- quiet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "rate", "correlation"),
    [
        (8, 0.93, 0.0),
        (40, 0.93, 0.0),
        (40, 0.93, 0.03),
        (40, 0.93, 0.1),
        (300, 0.93, 0.02),
        (300, 0.80, 0.02),
    ],
)
def test_nothing_happening_raises_at_most_two_alarms_per_thousand_hours(
    volume: float, rate: float, correlation: float
) -> None:
    series = hours(7, 192 + 2_000, volume, rate, correlation)
    alarms = sum(
        detect_proportion(series[end - 192 : end], metrics=1, budget_per_week=NOMINAL) is not None
        for end in range(193, len(series) + 1)
    )
    assert alarms <= 4


def test_sixty_quiet_metrics_stay_within_the_weekly_budget() -> None:
    alarms = 0
    for metric in range(60):
        series = hours(1_000 + metric, 192 + 28, 40, 0.93, 0.03)
        alarms += any(
            detect_proportion(series[end - 192 : end], metrics=60) is not None
            for end in range(193, len(series) + 1)
        )
    assert alarms <= 1  # 28 hours of 168: a sixth of a week's budget of one


def test_a_week_without_a_failure_does_not_make_one_failure_an_anomaly() -> None:
    history = [Sample(10, 10)] * 168
    assert detect_proportion([*history, Sample(9, 10)], metrics=1) is None
    hit = detect_proportion([*history, Sample(3, 10)], metrics=1)
    assert hit is not None
    assert hit.rule is Rule.BASELINE


def test_an_idle_hour_is_no_evidence() -> None:
    history = hours(1, 60, 40, 0.93)
    bad = [Sample(20, 40)] * 6
    assert detect_proportion([*history, *bad], metrics=10) is not None
    assert detect_proportion([*history, *bad, Sample(0, 0)], metrics=10) is None
    assert detect_proportion([*history, *[Sample(0, 0)] * 30], metrics=10) is None
    assert detect_proportion([], metrics=10) is None


def test_idle_hours_do_not_move_the_baseline() -> None:
    history = hours(2, 100, 40, 0.9)
    thinned = [part for sample in history for part in (sample, Sample(0, 0))]
    assert fit_baseline(thinned) == fit_baseline(history)


# --- quick -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "before", "after", "median_hours"),
    [
        (40, 0.93, 0.80, 6),
        (8, 0.93, 0.65, 6),
        (40, 0.93, 0.65, 2),
        (40, 0.80, 0.65, 6),
        (300, 0.93, 0.87, 18),
    ],
)
def test_a_planted_drop_is_found_in_time(
    volume: float, before: float, after: float, median_hours: float
) -> None:
    delays = [
        hours_to_detection(hours(seed, 192, volume, before), hours(500 + seed, 24, volume, after))
        for seed in range(40)
    ]
    assert np.median(delays) <= median_hours
    assert sum(delay <= 24 for delay in delays) >= 38


def test_a_detection_carries_its_evidence() -> None:
    history = [*hours(3, 168, 40, 0.93), Sample(26, 40)]
    hit = detect_proportion(history, metrics=60)
    assert hit is not None
    assert (hit.rule, hit.numerator, hit.denominator, hit.window) == (Rule.BASELINE, 26, 40, 1)
    assert 0.91 < hit.baseline_rate < 0.95
    assert hit.p_value < 1 / (60 * 168 * 4)
    assert not hit.is_low_confidence
    short = detect_proportion([*history[:30], Sample(20, 40)], metrics=60)
    assert short is not None
    assert short.is_low_confidence


def test_a_rise_is_not_a_fall() -> None:
    assert detect_proportion([*hours(4, 168, 40, 0.75), Sample(60, 60)], metrics=1) is None


def test_a_tighter_budget_needs_more_evidence() -> None:
    history = [*hours(3, 168, 40, 0.93), Sample(31, 40)]
    assert detect_proportion(history, metrics=1, budget_per_week=10.0) is not None
    assert detect_proportion(history, metrics=1, budget_per_week=0.001) is None


# --- the line ----------------------------------------------------------------------------------------------


def test_a_cold_start_has_the_fixed_line() -> None:
    hit = detect_proportion([Sample(9, 12), Sample(7, 12)], metrics=60)
    p_value = hit.p_value if hit else 0.0
    assert hit == Detection(Rule.LINE, 16, 24, 0.70, p_value, 2, 16 / 24, 0.70, (0.70, 1.0), True)
    assert detect_proportion([Sample(9, 12), Sample(7, 11)], metrics=60) is None, "23 attempts are too few"
    assert detect_proportion([Sample(9, 12), Sample(8, 12)], metrics=60) is None, "17 of 24 is above it"
    assert detect_proportion([Sample(70, 100)], metrics=60) is None, "on the line is not under it"
    assert detect_proportion([Sample(69, 100)], metrics=60) is not None


def test_a_cold_start_pools_only_the_newest_samples_it_needs() -> None:
    hit = detect_proportion([Sample(0, 100), Sample(20, 24)], metrics=60)
    assert hit is None


def test_a_rate_that_was_always_low_crosses_the_line_and_one_that_stands_on_it_does_not() -> None:
    low = detect_proportion(hours(5, 192, 40, 0.60), metrics=60)
    assert low is not None
    assert low.rule is Rule.LINE
    on_it = [detect_proportion(hours(seed, 192, 40, 0.71), metrics=60) for seed in range(60)]
    assert sum(hit is not None for hit in on_it) <= 1


@pytest.mark.parametrize(
    ("named", "value"),
    [("line", 1.5), ("line_minimum", 0), ("metrics", 0), ("minimum_history", 1), ("budget_per_week", 0.0)],
)
def test_a_bad_argument_is_refused_by_name(named: str, value: float) -> None:
    arguments = {"metrics": 1, named: value}
    with pytest.raises(ValueError, match=named):
        detect_proportion([Sample(1, 1)], **arguments)


# --- the numbers behind it ---------------------------------------------------------------------------------


def test_the_tail_is_the_beta_binomial_by_hand() -> None:
    a, b, n = 1.2, 2.8, 5

    def beta(p: float, q: float) -> float:
        return math.gamma(p) * math.gamma(q) / math.gamma(p + q)

    by_hand = sum(math.comb(n, k) * beta(k + a, n - k + b) / beta(a, b) for k in range(3))
    assert lower_tail(2, n, a / (a + b), 1 / (a + b + 1)) == pytest.approx(by_hand, rel=1e-12)


def test_the_tail_becomes_binomial_as_correlation_vanishes() -> None:
    by_hand = sum(math.comb(40, k) * 0.93**k * 0.07 ** (40 - k) for k in range(32))
    assert lower_tail(31, 40, 0.93, 1e-9) == pytest.approx(by_hand, rel=1e-5)


@given(
    n=st.integers(1, 400),
    share=st.floats(0, 1),
    rate=st.floats(0.01, 0.99),
    correlation=st.floats(1e-6, 0.9),
)
def test_the_tail_is_a_probability_and_grows_with_successes(
    n: int, share: float, rate: float, correlation: float
) -> None:
    x = int(share * n)
    p_value = lower_tail(x, n, rate, correlation)
    assert 0.0 <= p_value <= 1.0
    assert lower_tail(min(n, x + 1), n, rate, correlation) >= p_value * (1 - 1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.03, 0.1])
def test_the_fit_recovers_rate_and_overdispersion(correlation: float) -> None:
    fits = [fit_baseline(hours(seed, 168, 40, 0.9, correlation)) for seed in range(40)]
    assert np.mean([fit.rate for fit in fits]) == pytest.approx(0.9, abs=0.01)
    fitted = np.mean([fit.correlation for fit in fits])
    assert correlation <= fitted <= 1.3 * correlation + 0.01


def test_a_baseline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        fit_baseline([Sample(0, 0)])


# --- recovery and health -----------------------------------------------------------------------------------


def test_recovery_needs_attempts_and_both_rates() -> None:
    back = [Sample(18, 20)] * 3
    assert is_recovered(back, line=0.70, minimum=60, required_rate=0.90)
    assert not is_recovered(back, line=0.70, minimum=61, required_rate=0.90)
    assert not is_recovered(back, line=0.70, minimum=60, required_rate=0.91)
    assert not is_recovered(back, line=0.95, minimum=60, required_rate=0.50)
    assert not is_recovered([Sample(0, 0)], line=0.0, minimum=0, required_rate=0.0)


# --- rises, exclusion, bands -------------------------------------------------------------------------------


def flipped(samples: list[Sample]) -> list[Sample]:
    return [Sample(s.denominator - s.numerator, s.denominator, s.is_excluded) for s in samples]


@pytest.mark.parametrize("line", [None, 0.70])
def test_a_rise_is_the_fall_of_the_complement(line: float | None) -> None:
    for seed in range(6):
        history = [*hours(seed, 190, 40, 0.93, 0.02), *hours(100 + seed, 6, 40, 0.70)]
        fall = detect_proportion(history, metrics=60, line=line)
        over = None if line is None else 1 - line
        rise = detect_proportion(flipped(history), metrics=60, line=over, bad=Bad.RISE)
        assert fall is not None
        assert rise is not None
        assert (rise.p_value, rise.window, rise.rule) == (fall.p_value, fall.window, fall.rule)
        assert rise.numerator == fall.denominator - fall.numerator
        assert rise.observed == pytest.approx(1 - fall.observed)
        assert rise.expected == pytest.approx(1 - fall.expected)
        assert rise.interval == pytest.approx((1 - fall.interval[1], 1 - fall.interval[0]))
        assert detect_proportion(flipped(history), metrics=60, line=None) is None, "and it is no fall"


def test_rises_stay_quiet_when_nothing_happens() -> None:
    series = flipped(hours(21, 192 + 1_000, 40, 0.93, 0.03))
    alarms = sum(
        detect_proportion(
            series[end - 192 : end], metrics=1, budget_per_week=NOMINAL, line=None, bad=Bad.RISE
        )
        is not None
        for end in range(193, len(series) + 1)
    )
    assert alarms <= 2


def test_either_side_costs_twice_the_p_value() -> None:
    history = [*hours(3, 168, 40, 0.80), Sample(12, 40)]
    one = detect_proportion(history, metrics=60, line=None)
    both = detect_proportion(history, metrics=60, line=None, bad=Bad.EITHER)
    assert one is not None
    assert both is not None
    assert both.p_value == pytest.approx(2 * one.p_value)
    assert both.observed == one.observed
    between = 1.5 * one.p_value * 60 * 168 * 4  # a budget that lets p through, and not 2p
    assert detect_proportion(history, metrics=60, line=None, budget_per_week=between) is not None
    assert detect_proportion(history, metrics=60, bad=Bad.EITHER, budget_per_week=between) is None
    up = detect_proportion([*hours(3, 168, 200, 0.50), Sample(190, 200)], metrics=60, bad=Bad.EITHER)
    assert up is not None
    assert up.observed == pytest.approx(0.95)


def test_without_a_line_a_cold_start_says_nothing() -> None:
    bad = [Sample(0, 40)] * 5
    assert detect_proportion(bad, metrics=1) is not None
    assert detect_proportion(bad, metrics=1, line=None) is None
    assert detect_proportion(bad, metrics=1, bad=Bad.EITHER) is None


def test_excluded_samples_are_neither_history_nor_news() -> None:
    usual = hours(8, 168, 40, 0.93)
    out = [Sample(5, 40, is_excluded=True)] * 30
    assert fit_baseline([*usual[:50], *out, *usual[50:]]) == fit_baseline(usual)
    assert detect_proportion([*usual, *out], metrics=1) is None, "the newest is excluded"
    assert detect_proportion([*usual, *out[:5], *hours(9, 1, 40, 0.93)], metrics=1) is None
    hit = detect_proportion([*usual, *out[:5], Sample(10, 40)], metrics=60)
    assert hit is not None
    assert (hit.numerator, hit.denominator) == (10, 40)
    assert detect_proportion([*out, *out], metrics=1) is None
    cold = detect_proportion([Sample(0, 40, is_excluded=True), Sample(39, 40)], metrics=1)
    assert cold is None, "a cold start does not pool what is excluded"


def test_a_detection_says_what_was_expected() -> None:
    hit = detect_proportion([*hours(3, 168, 40, 0.93), Sample(26, 40)], metrics=60)
    assert hit is not None
    assert hit.observed == pytest.approx(0.65)
    assert hit.expected == hit.baseline_rate
    low, high = hit.interval
    assert hit.observed < low < hit.expected < high <= 1.0


@pytest.mark.parametrize(
    ("volume", "rate", "correlation"), [(8, 0.93, 0.0), (40, 0.8, 0.05), (300, 0.93, 0.02)]
)
def test_the_band_holds_what_usually_happens(volume: float, rate: float, correlation: float) -> None:
    inside = 0
    for seed in range(200):
        history = hours(seed % 10, 168, volume, rate, correlation)
        pool = hours(3_000 + seed, 3, volume, rate, correlation)
        low, high = proportion_band(history, pool)
        inside += low <= sum(s.numerator for s in pool) / sum(s.denominator for s in pool) <= high
    assert inside >= 194


def test_the_band_narrows_as_the_pool_grows_and_knows_nothing_of_nothing() -> None:
    history = hours(1, 168, 40, 0.9, 0.02)
    widths = [high - low for low, high in (proportion_band(history, history[:n]) for n in (1, 3, 6, 24))]
    assert widths == sorted(widths, reverse=True)
    assert proportion_band(history, [Sample(0, 0), Sample(3, 9, is_excluded=True)]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least one sample"):
        proportion_band([], history)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**6)), min_size=1, max_size=60),
    st.sampled_from(list(Bad)),
    st.sampled_from([None, 0.0, 0.7, 1.0]),
)
def test_any_history_is_judged_without_a_fault(
    rows: list[tuple[float, int]], bad: Bad, line: float | None
) -> None:
    history = [Sample(int(share * n), n) for share, n in rows]
    hit = detect_proportion(history, metrics=1, bad=bad, line=line)
    if hit is not None:
        assert 0.0 <= hit.p_value <= 1.0
        assert 0.0 <= hit.interval[0] <= hit.interval[1] <= 1.0
        assert hit.observed == pytest.approx(hit.numerator / hit.denominator)


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_deeper_fall_is_never_less_of_an_alarm(one: int, other: int) -> None:
    usual = hours(5, 168, 40, 0.93)
    deep, shallow = sorted((one, other))
    hits = [detect_proportion([*usual, Sample(x, 40)], metrics=60) for x in (deep, shallow)]
    if hits[1] is not None:
        assert hits[0] is not None
        assert hits[0].p_value <= hits[1].p_value * (1 + 1e-9)


@pytest.mark.parametrize("sample", [Sample(-1, 3), Sample(4, 3)])
def test_more_successes_than_attempts_are_refused(sample: Sample) -> None:
    with pytest.raises(ValueError, match="successes of attempts"):
        detect_proportion([sample], metrics=1)


def test_one_budget_is_shared_by_all() -> None:
    assert threshold_of(1.0, 60) == pytest.approx(1 / (60 * 168 * 4))
    for budget in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="budget_per_week"):
            threshold_of(budget, 1)
    with pytest.raises(ValueError, match="metrics"):
        threshold_of(1.0, 0)
