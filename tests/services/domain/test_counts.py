"""Counts: quiet through cycles and overdispersion, quick when they fall, exact where that can be checked."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.anomaly import Rule
from services.domain.clock import HOUR_US
from services.domain.counts import CountWindow, count_band, detect_count, expect, fit_counts, tail
from services.domain.measures import Bad

NOMINAL = 0.168  # budget per week of one metric that means p < 1e-3 an hour


def hours(seed, count, mean, dispersion=0.0, swing=0.5):
    rng = np.random.default_rng(seed)
    means = mean * (1 + swing * np.sin(2 * np.pi * np.arange(count) / 24))
    if dispersion:
        means = means * rng.gamma(1 / dispersion, dispersion, count)
    return [CountWindow(int(x), HOUR_US, at % 24) for at, x in enumerate(rng.poisson(means))]


def flat(counts):
    return [CountWindow(count, HOUR_US, at % 24) for at, count in enumerate(counts)]


# --- quiet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "dispersion", "swing"),
    [(4, 0.0, 0.5), (50, 0.0, 0.5), (50, 0.1, 0.5), (300, 0.02, 0.5), (50, 0.0, 0.0)],
)
def test_nothing_happening_raises_at_most_two_alarms_per_thousand_hours(mean, dispersion, swing):
    alarms = 0
    for seed in range(4):
        series = hours(seed, 192 + 250, mean, dispersion, swing)
        alarms += sum(
            detect_count(series[end - 192 : end], bad=Bad.EITHER, metrics=1, budget_per_week=NOMINAL)
            is not None
            for end in range(193, len(series) + 1)
        )
    assert alarms <= 2


def test_counts_whose_spread_lasts_for_hours_stay_quiet_too():
    alarms = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        state, factors = 0.0, []
        for step in rng.normal(size=192 + 250):
            state = 0.8 * state + 0.6 * step
            factors.append(math.exp(0.15 * state))
        series = flat(int(x) for x in rng.poisson(100 * np.array(factors)))
        alarms += sum(
            detect_count(series[end - 192 : end], bad=Bad.EITHER, metrics=1, budget_per_week=NOMINAL)
            is not None
            for end in range(193, len(series) + 1)
        )
    assert alarms <= 5  # independence assumed, the 6 h and 24 h pools alarm over a hundred times


def test_the_first_twelve_hours_never_alarm_and_three_days_are_low_confidence():
    steady = flat([50] * 100)
    gone = [CountWindow(0, HOUR_US, 12)]
    assert detect_count([*steady[:11], *gone], metrics=1) is None
    early = detect_count([*steady[:12], *gone], metrics=1)
    assert early is not None
    assert early.is_low_confidence
    late = detect_count([*steady[:96], *gone], metrics=1)
    assert late is not None
    assert not late.is_low_confidence


def test_a_daily_cycle_is_no_alarm_while_it_is_still_unknown():
    for seed in range(5):
        series = hours(seed, 72, 100, swing=0.9)
        found = [detect_count(series[:end], bad=Bad.EITHER, metrics=1) for end in range(1, 73)]
        assert sum(hit is not None for hit in found) <= 1


def test_an_hour_of_the_day_has_its_own_mean_from_its_second_day_on():
    night_and_day = [10 if at % 24 < 12 else 100 for at in range(72)]
    for length, is_known in ((24, False), (48, True)):
        rates = fit_counts(flat(night_and_day[:length])).rates
        if is_known:
            assert rates[0] == pytest.approx(10, abs=0.5)
            assert rates[20] == pytest.approx(100, abs=0.5)
        else:
            assert rates[0] == rates[20] == pytest.approx(55, abs=0.5)


def test_a_night_that_is_always_empty_is_no_fall_and_one_that_is_full_is_a_rise():
    night = [0 if at % 24 < 6 else 60 for at in range(168 + 6)]
    assert detect_count(flat(night), bad=Bad.EITHER, metrics=1) is None
    hit = detect_count(flat([*night[:173], 40]), bad=Bad.EITHER, metrics=1)
    assert hit is not None
    assert hit.observed > hit.interval[1]


# --- quick -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "dispersion", "left", "median_hours"), [(50, 0.0, 0.4, 2), (50, 0.1, 0.4, 8), (4, 0.0, 0.2, 12)]
)
def test_a_planted_fall_is_found_in_time(mean, dispersion, left, median_hours):
    delays = []
    for seed in range(20):
        series = hours(seed, 192, mean, dispersion) + hours(500 + seed, 24, left * mean, dispersion)
        ends = (end for end in range(193, 217) if detect_count(series[end - 192 : end], metrics=60))
        delays.append(next(ends, math.inf) - 192)
    assert np.median(delays) <= median_hours
    assert sum(delay <= 24 for delay in delays) >= 19


def test_directions_are_told_apart():
    steady = hours(1, 192, 50, swing=0.0)
    low, high = [*steady, CountWindow(2, HOUR_US, 0)], [*steady, CountWindow(140, HOUR_US, 0)]
    for windows, finds in ((low, {Bad.FALL, Bad.EITHER}), (high, {Bad.RISE, Bad.EITHER})):
        found = {bad for bad in Bad if detect_count(windows, bad=bad, metrics=60) is not None}
        assert found == finds


def test_a_detection_carries_its_evidence():
    series = [*hours(3, 191, 50, swing=0.0), CountWindow(5, HOUR_US, 23)]
    hit = detect_count(series, metrics=60)
    assert hit is not None
    assert (hit.rule, hit.numerator, hit.denominator, hit.window) == (Rule.BASELINE, 5, 1, 1)
    assert hit.expected == hit.baseline_rate == pytest.approx(50, abs=6)
    assert hit.observed == 5.0
    assert hit.observed < hit.interval[0] < hit.expected < hit.interval[1]
    assert hit.p_value < 1 / (60 * 168 * 4)


def test_a_tighter_budget_needs_more_evidence():
    series = [*hours(3, 191, 50, swing=0.0), CountWindow(20, HOUR_US, 23)]
    assert detect_count(series, metrics=1) is not None
    assert detect_count(series, metrics=10_000_000) is None


# --- exposure and exclusion --------------------------------------------------------------------------------


def test_a_window_of_half_an_hour_expects_half_the_events():
    baseline = fit_counts(flat([60] * 168))
    mean, _ = expect(baseline, [CountWindow(0, HOUR_US // 2, 5)])
    assert mean == pytest.approx(30, rel=0.02)
    short = [*flat([60] * 168), CountWindow(30, HOUR_US // 2, 0)]
    assert detect_count(short, bad=Bad.EITHER, metrics=1) is None
    whole = [*flat([60] * 168), CountWindow(10, HOUR_US, 0)]
    assert detect_count(whole, metrics=1) is not None


def test_the_length_of_the_windows_does_not_move_the_rate():
    rng = np.random.default_rng(8)
    lengths = rng.integers(HOUR_US // 4, 2 * HOUR_US, 400)
    windows = [CountWindow(int(rng.poisson(40 * us / HOUR_US)), int(us), 3) for us in lengths]
    assert fit_counts(windows).rates[3] == pytest.approx(40, rel=0.03)


def test_excluded_windows_are_neither_history_nor_news():
    steady = hours(4, 192, 50)
    bad = [replace(window, count=0, is_excluded=True) for window in hours(4, 24, 50)]
    assert detect_count([*steady, *bad], metrics=1) is None, "the newest is excluded"
    with_gap = [*steady[:80], *bad, *steady[80:]]
    assert np.array_equal(
        fit_counts(with_gap).rates, fit_counts([w for w in with_gap if not w.is_excluded]).rates
    )
    after = [*steady, *bad[:5], CountWindow(1, HOUR_US, 6)]
    hit = detect_count(after, metrics=1)
    assert hit is not None
    assert hit.denominator == 1, "excluded windows of the pool are not counted"


def test_history_beyond_a_week_is_forgotten():
    old, new = flat([500] * 240), flat([50] * 192)
    assert detect_count([*old, *new], bad=Bad.EITHER, metrics=1) is None


# --- extremes ----------------------------------------------------------------------------------------------


def test_all_zero_history_takes_one_event_and_not_ten():
    silent = flat([0] * 192)
    assert detect_count(silent, bad=Bad.EITHER, metrics=1) is None
    assert detect_count([*silent, CountWindow(1, HOUR_US, 0)], bad=Bad.RISE, metrics=60) is None
    assert detect_count([*silent, CountWindow(10, HOUR_US, 0)], bad=Bad.RISE, metrics=60) is not None


def test_huge_counts_are_judged():
    steady = flat([10**12 + at for at in range(192)])
    assert detect_count(steady, bad=Bad.EITHER, metrics=1) is None
    hit = detect_count([*steady, CountWindow(10**11, HOUR_US, 0)], metrics=60)
    assert hit is not None
    assert 0.0 <= hit.p_value < 1e-9
    assert hit.interval[0] > 9e11


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"metrics": 0}, "metrics"),
        ({"budget_per_week": 0.0}, "budget_per_week"),
        ({"budget_per_week": math.nan}, "budget_per_week"),
        ({"minimum_history": 1}, "minimum_history"),
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        detect_count(flat([1]), **{"metrics": 1, **arguments})


@pytest.mark.parametrize("window", [CountWindow(-1, 1, 0), CountWindow(1, 0, 0), CountWindow(1, 1, 24)])
def test_a_bad_window_is_refused(window):
    with pytest.raises(ValueError, match="windows must hold"):
        detect_count([window], metrics=1)


def test_a_baseline_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one window"):
        fit_counts([CountWindow(3, HOUR_US, 0, is_excluded=True)])
    assert detect_count([], metrics=1) is None


# --- the numbers behind it ---------------------------------------------------------------------------------


def test_the_tail_is_the_negative_binomial_by_hand():
    mean, variance = 6.0, 15.0
    size = mean * mean / (variance - mean)
    p = size / (size + mean)
    pmf = [
        math.exp(math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1)) * p**size * (1 - p) ** k
        for k in range(200)
    ]
    assert tail(3, mean, variance, Bad.FALL) == pytest.approx(sum(pmf[:4]), rel=1e-10)
    assert tail(20, mean, variance, Bad.RISE) == pytest.approx(sum(pmf[20:]), rel=1e-8)
    assert tail(3, mean, variance, Bad.EITHER) == pytest.approx(2 * sum(pmf[:4]), rel=1e-10)


def test_the_tail_is_poisson_without_excess():
    by_hand = sum(math.exp(-6.0) * 6.0**k / math.factorial(k) for k in range(3))
    assert tail(2, 6.0, 6.0, Bad.FALL) == pytest.approx(by_hand, rel=1e-12)
    assert tail(2, 6.0, 6.0 + 1e-7, Bad.FALL) == pytest.approx(by_hand, rel=1e-5)


@given(
    count=st.integers(0, 10**9),
    mean=st.floats(0.0, 1e9),
    excess=st.floats(0.0, 100.0),
    bad=st.sampled_from(list(Bad)),
)
def test_the_tail_is_a_probability_monotone_in_the_fall(count, mean, excess, bad):
    variance = mean * (1.0 + excess)
    p_value = tail(count, mean, variance, bad)
    assert 0.0 <= p_value <= 1.0
    further = tail(count + 1, mean, variance, bad)
    if bad is Bad.FALL:
        assert further >= p_value * (1 - 1e-6)
    if bad is Bad.RISE:
        assert further <= p_value * (1 + 1e-6) + 1e-300


@given(st.integers(0, 80), st.integers(0, 80))
def test_a_deeper_fall_is_never_less_of_an_alarm(one, other):
    steady = hours(9, 191, 60, swing=0.0)
    deep, shallow = sorted((one, other))
    hits = [
        detect_count([*steady, CountWindow(n, HOUR_US, 23)], metrics=60, budget_per_week=100.0)
        for n in (deep, shallow)
    ]
    if hits[1] is not None:
        assert hits[0] is not None
        assert hits[0].p_value <= hits[1].p_value * (1 + 1e-9)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.sampled_from(list(Bad)))
def test_any_history_is_judged_without_a_fault(counts, bad):
    hit = detect_count(flat(counts), bad=bad, metrics=1)
    if hit is not None:
        assert 0.0 <= hit.p_value <= 1.0
        assert 0.0 <= hit.interval[0] <= hit.interval[1] < math.inf
        assert len(counts) > 12


def test_the_band_holds_what_usually_happens():
    history = hours(11, 168, 40, 0.02)
    inside = 0
    for seed in range(200):
        pool = hours(1_000 + seed, 3, 40, 0.02)
        low, high = count_band(history, pool)
        inside += low <= sum(window.count for window in pool) <= high
    assert inside >= 190
    assert count_band(history, [CountWindow(0, HOUR_US, 0, is_excluded=True)]) == (0.0, 0.0)


def test_the_fit_recovers_overdispersion():
    for dispersion in (0.0, 0.1):
        fits = [fit_counts(hours(seed, 168, 50, dispersion)).dispersions[0] for seed in range(30)]
        assert dispersion <= np.mean(fits) <= 1.4 * dispersion + 0.01
