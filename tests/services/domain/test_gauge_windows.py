"""Gauges and durations in hourly windows: quiet, quick, and fair to windows of few values."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.anomaly import Rule
from services.domain.gauge_windows import GaugeWindow, detect_gauge, fit_gauge, gauge_band, gauge_level
from services.domain.measures import Bad

NOMINAL = 0.168


def gauge(seed, hours, level=50.0, sd=5.0, swing=0.0):
    values = np.random.default_rng(seed).normal(level, sd, hours)
    values += swing * np.sin(2 * np.pi * np.arange(hours) / 24)
    return [GaugeWindow(float(value), 0.0, 1, at % 24) for at, value in enumerate(values)]


def durations(seed, hours, volume, sigma=0.8, factor=1.0, swing=0.3):
    rng = np.random.default_rng(seed)
    windows = []
    for at, number in enumerate(rng.poisson(volume * (1 + 0.5 * np.sin(2 * np.pi * np.arange(hours) / 24)))):
        values = factor * np.exp(rng.normal(16 + swing * math.sin(2 * math.pi * at / 24), sigma, number))
        mean, sd = (float(values.mean()), float(values.std())) if number else (0.0, 0.0)
        windows.append(GaugeWindow(mean, sd, int(number), at % 24))
    return windows


def constant(value, hours, count=1):
    return [GaugeWindow(float(value), 0.0, count, at % 24) for at in range(hours)]


SERIES = {
    "noise": gauge,
    "cycle": lambda seed, hours: gauge(seed, hours, swing=20.0),
    "two an hour": lambda seed, hours: durations(seed, hours, 2),
    "forty an hour": lambda seed, hours: durations(seed, hours, 40),
}


@pytest.mark.parametrize("name", list(SERIES))
def test_nothing_happening_raises_at_most_two_alarms_per_thousand_hours(name):
    alarms = 0
    for seed in range(3):
        series = SERIES[name](seed, 192 + 170)
        alarms += sum(
            detect_gauge(
                series[end - 192 : end],
                bad=Bad.EITHER,
                is_log="hour" in name,
                metrics=1,
                budget_per_week=NOMINAL,
            )
            is not None
            for end in range(193, len(series) + 1)
        )
    assert alarms <= 1


def test_a_day_whose_course_is_not_known_yet_raises_nothing():
    series = gauge(1, 72, level=100, swing=80)
    assert not any(detect_gauge(series[:end], bad=Bad.EITHER, metrics=60) for end in range(1, 73))


@pytest.mark.parametrize(("factor", "volume", "hours"), [(3.0, 20, 6), (2.0, 40, 12), (5.0, 4, 12)])
def test_slower_tasks_are_found_in_time(factor, volume, hours):
    delays = []
    for seed in range(8):
        series = durations(seed, 192, volume) + durations(900 + seed, 24, volume, factor=factor)
        ends = (
            end
            for end in range(193, 217)
            if detect_gauge(series[end - 192 : end], bad=Bad.RISE, is_log=True, metrics=60)
        )
        delays.append(next(ends, math.inf) - 192)
    assert np.median(delays) <= hours


def test_a_detection_carries_its_evidence():
    series = [*gauge(2, 191), GaugeWindow(150.0, 0.0, 1, 23)]
    hit = detect_gauge(series, metrics=60)
    assert hit is not None
    assert (hit.rule, hit.numerator, hit.denominator, hit.window) == (Rule.BASELINE, 150, 1, 1)
    assert hit.observed == pytest.approx(150.0)
    assert hit.expected == hit.baseline_rate == pytest.approx(50, abs=6)
    assert hit.interval[0] < hit.expected < hit.interval[1] < hit.observed
    assert hit.p_value < 1 / (60 * 168 * 4)
    assert not hit.is_low_confidence
    young = detect_gauge(series[-60:], metrics=1)
    assert young is not None
    assert young.is_low_confidence


def test_directions_are_told_apart():
    low, high = [*gauge(3, 191), GaugeWindow(-60, 0, 1, 23)], [*gauge(3, 191), GaugeWindow(160, 0, 1, 23)]
    for windows, finds in ((low, {Bad.FALL, Bad.EITHER}), (high, {Bad.RISE, Bad.EITHER})):
        assert {bad for bad in Bad if detect_gauge(windows, bad=bad, metrics=60)} == finds


def test_wider_spread_alone_is_found():
    usual = [
        replace(window, sd=5.0 + 0.2 * (at % 5), count=30) for at, window in enumerate(gauge(4, 191, sd=1))
    ]
    wide = GaugeWindow(50.5, 90.0, 30, 23)
    assert detect_gauge([*usual, wide], bad=Bad.EITHER, metrics=60) is not None
    assert detect_gauge([*usual, replace(wide, sd=5.4)], bad=Bad.EITHER, metrics=60) is None
    assert detect_gauge([*usual, replace(wide, mean=49.0)], bad=Bad.RISE, metrics=60) is None


def test_a_window_of_one_value_is_no_news_where_forty_would_be():
    usual = durations(5, 191, 40)
    lone = GaugeWindow(math.exp(16.32 + 2.0), 0.0, 1, 23)
    assert detect_gauge([*usual, lone], bad=Bad.RISE, is_log=True, metrics=60) is None
    many = replace(lone, count=40)
    assert detect_gauge([*usual, many], bad=Bad.RISE, is_log=True, metrics=60) is not None


def test_what_the_week_has_seen_is_no_news():
    series = constant(0, 191)
    series[60] = replace(series[60], mean=900.0)
    again = GaugeWindow(900.0, 0.0, 1, 23)
    assert detect_gauge([*series, again], bad=Bad.RISE, least_step=1.0, metrics=60) is None
    assert detect_gauge([*constant(0, 191), again], bad=Bad.RISE, least_step=1.0, metrics=60) is not None


def test_the_least_step_keeps_small_changes_quiet():
    series = [*constant(3, 191), GaugeWindow(2.0, 0.0, 1, 23)]
    assert detect_gauge(series, bad=Bad.FALL, metrics=60) is not None
    assert detect_gauge(series, bad=Bad.FALL, least_step=1.0, metrics=60) is None


def test_idle_and_excluded_windows_are_neither_history_nor_news():
    usual, out = gauge(6, 191), GaugeWindow(500.0, 0.0, 1, 23)
    assert detect_gauge([*usual, replace(out, is_excluded=True)], metrics=1) is None
    assert detect_gauge([*usual, replace(out, count=0)], metrics=1) is None
    dirty = [*usual[:90], *[replace(out, is_excluded=True)] * 20, *[replace(out, count=0)] * 9, *usual[90:]]
    assert np.array_equal(fit_gauge(dirty).usual, fit_gauge(usual).usual)
    assert detect_gauge([*gauge(6, 11), out], metrics=1) is None, "eleven windows are no history"
    assert detect_gauge([], metrics=1) is None


def test_the_band_holds_what_usually_happens():
    history = durations(7, 168, 20)
    inside = 0
    for seed in range(100):
        pool = durations(2_000 + seed, 3, 20)
        low, high = gauge_band(history, pool, is_log=True)
        inside += low <= gauge_level(pool, is_log=True) <= high
    assert inside >= 95
    slow = durations(1, 3, 20, factor=4.0)
    assert gauge_level(slow, is_log=True) > gauge_band(history, slow, is_log=True)[1]


@pytest.mark.parametrize(
    ("window", "says"),
    [
        (GaugeWindow(math.nan, 0.0, 1, 0), "finite"),
        (GaugeWindow(math.inf, 0.0, 1, 0), "finite"),
        (GaugeWindow(1.0, math.nan, 1, 0), "finite"),
        (GaugeWindow(1.0, -1.0, 1, 0), "finite"),
        (GaugeWindow(1.0, 0.0, -1, 0), "counts from 0"),
        (GaugeWindow(1.0, 0.0, 1, 24), "hours 0 to 23"),
    ],
)
def test_a_bad_window_is_refused(window, says):
    with pytest.raises(ValueError, match=says):
        detect_gauge([window], metrics=1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"metrics": 0}, "metrics"),
        ({"budget_per_week": -1.0}, "budget_per_week"),
        ({"minimum_history": 1}, "minimum_history"),
        ({"least_step": math.nan}, "least_step"),
        ({"least_step": -1.0}, "least_step"),
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        detect_gauge(constant(1, 20), **{"metrics": 1, **arguments})


def test_a_band_of_nothing_is_refused():
    with pytest.raises(ValueError, match="baseline"):
        gauge_band([], constant(1, 1))
    with pytest.raises(ValueError, match="pool"):
        gauge_band(constant(1, 20), [])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.integers(0, 10**9)), min_size=1, max_size=60
    ),
    st.sampled_from(list(Bad)),
    st.booleans(),
)
def test_any_history_is_judged_without_a_fault(rows, bad, is_log):
    windows = [GaugeWindow(mean, sd, count, at % 24) for at, (mean, sd, count) in enumerate(rows)]
    hit = detect_gauge(windows, bad=bad, is_log=is_log, metrics=1)
    if hit is not None:
        assert 0.0 <= hit.p_value <= 1.0
        assert hit.interval[0] <= hit.interval[1]
        assert math.isfinite(hit.observed)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 500), st.floats(0, 500))
def test_a_higher_rise_is_never_less_of_an_alarm(one, other):
    usual = gauge(8, 191)
    low, high = sorted((one, other))
    hits = [
        detect_gauge([*usual, GaugeWindow(50 + rise, 0.0, 1, 23)], bad=Bad.RISE, metrics=60)
        for rise in (low, high)
    ]
    if hits[0] is not None:
        assert hits[1] is not None
        assert hits[1].p_value <= hits[0].p_value * (1 + 1e-9)
