"""An office week is no departure, and a stop at its weekend is one."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from services.domain.clock import HOUR_US
from services.domain.counts import CountWindow, count_band, detect_count, fit_counts
from services.domain.gauge_windows import GaugeWindow, detect_gauge, fit_gauge, gauge_band
from services.domain.measures import Bad
from services.domain.weekdays import NO_WEEK, fit_weekdays, visits_of

WEEK = 168
ROWS = 600
SATURDAY = 5 * 24


def means(hours, weekend, weekday=40.0):
    at = np.arange(hours)
    level = np.where(at // 24 % 7 < 5, weekday, weekend)
    return level * (1 + 0.5 * np.sin(2 * np.pi * at / 24))


def office_counts(seed, hours, weekend):
    drawn = np.random.default_rng(seed).poisson(means(hours, weekend))
    return [CountWindow(int(n), HOUR_US, at % 24, day_of_week=at // 24 % 7) for at, n in enumerate(drawn)]


def office_levels(seed, hours, weekend):
    drawn = np.random.default_rng(seed).poisson(means(hours, weekend))
    return [
        GaugeWindow(float(max(1, n)), 0.0, 1, at % 24, day_of_week=at // 24 % 7) for at, n in enumerate(drawn)
    ]


COUNT = partial(detect_count, bad=Bad.EITHER, metrics=2)
LEVEL = partial(detect_gauge, bad=Bad.EITHER, least_step=1.0, metrics=2)


def alarms(series, detect, since, step=1):
    ends = range(since + 1, len(series) + 1, step)
    return [end - 1 for end in ends if detect(series[max(0, end - ROWS) : end]) is not None]


@pytest.mark.parametrize("weekend", [12, 2])
@pytest.mark.parametrize(("draw", "detect"), [(office_counts, COUNT), (office_levels, LEVEL)])
def test_an_office_week_raises_nothing_from_its_first_monday_on(draw, detect, weekend):
    series = draw(3, 3 * WEEK, weekend)
    assert len(alarms(series, detect, 0, step=2)) <= 1
    blind = [replace(window, day_of_week=None) for window in series]
    assert alarms(blind, detect, SATURDAY, step=2), "hours of the day alone cannot know it"


@pytest.mark.parametrize("hour", [0, 8])
def test_a_total_stop_is_found_in_time_at_the_start_of_a_weekend_and_on_a_monday(hour):
    for day, most in ((5, 2), (7, 1)):
        at = 2 * WEEK + 24 * day + hour
        series = office_counts(4, at + 4, 12)
        stopped = [*series[:at], *(replace(window, count=0) for window in series[at:])]
        assert alarms(stopped, partial(detect_count, metrics=2), at)[0] < at + most


def test_a_stop_of_a_metric_that_knows_no_weekend_is_found_in_an_hour_on_a_saturday():
    series = office_counts(5, 2 * WEEK + SATURDAY + 1, 40)
    assert detect_count([*series[:-1], replace(series[-1], count=0)], metrics=60) is not None


def test_the_first_weekend_is_held_back_unless_next_to_nothing_is_left():
    history = office_counts(6, SATURDAY, 12)
    quiet = [replace(window, day_of_week=5, count=6) for window in history[:6]]
    assert detect_count([*history, *quiet], metrics=60) is None
    empty = [replace(window, count=0) for window in quiet]
    found = detect_count([*history, *empty], metrics=60)
    assert found is not None
    assert found.window == 6
    weekday = [replace(window, day_of_week=4) for window in quiet]
    assert detect_count([*history, *weekday], metrics=60) is not None, "a Friday is known by the other days"


def test_bands_know_the_weekday():
    for draw, band, value in (
        (office_counts, count_band, lambda window: window.count),
        (office_levels, gauge_band, lambda window: window.mean),
    ):
        series = draw(7, 3 * WEEK, 4)
        saturday, monday = series[2 * WEEK + SATURDAY + 6], series[2 * WEEK + 6]
        for own, other in ((saturday, monday), (monday, saturday)):
            low, high = band(series[: 2 * WEEK + SATURDAY], [own])
            assert low <= value(own) <= high
            assert not low <= value(other) <= high


def test_the_fit_finds_the_factors_and_hours_are_not_thinned_by_weekends():
    series = office_counts(8, 3 * WEEK, 10)
    fitted = fit_counts(series[-WEEK:], series)
    factors = fitted.week.factors
    assert factors[5] / factors[0] == pytest.approx(0.25, rel=0.12)
    assert fitted.rates[6] * factors[0] == pytest.approx(60, rel=0.12)
    levels = fit_gauge(office_levels(8, 3 * WEEK, 10)).week.factors
    assert levels[6] / levels[2] == pytest.approx(0.25, rel=0.2)


def test_days_that_do_not_differ_are_shrunk_to_their_kind():
    days = np.tile(np.arange(7), 3)
    ratios = np.random.default_rng(1).normal(0, 0.1, 21)
    fitted = fit_weekdays(days, ratios, np.full(21, 0.01), np.full(21, 24.0))
    spread = [ratios[days == day].mean() for day in range(5)]
    assert np.ptp(fitted.logs[:5]) < 0.7 * np.ptp(spread)
    apart = np.where(days == 4, -1.5, ratios)
    assert fit_weekdays(days, apart, np.full(21, 0.01), np.full(21, 24.0)).logs[4] == pytest.approx(
        -1.5, abs=0.1
    )


def test_a_weekday_never_seen_is_less_sure_than_one_seen_thrice():
    days = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])
    ratios = np.array([0.0, 0.4, -0.4, 0.1] * 3)
    fitted = fit_weekdays(days, ratios, np.zeros(12), np.full(12, 24.0))
    assert fitted.variances[4] > 4 * fitted.variances[0]
    assert fitted.is_known.tolist() == [True] * 5 + [False] * 2
    short = fit_weekdays(np.array([0, 5]), np.zeros(2), np.zeros(2), np.array([24.0, 11.0]))
    assert not short.is_known[5]


def test_one_window_without_a_weekday_makes_all_days_alike():
    series = office_counts(9, WEEK, 12)
    mixed = [replace(series[0], day_of_week=None), *series[1:]]
    assert fit_counts(mixed).week is NO_WEEK
    assert visits_of(np.array([], dtype=np.int64)).tolist() == []
    assert visits_of(np.array([0, 0, 1, 1, 0])).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("day", [-1, 7])
def test_a_bad_weekday_is_refused(day):
    with pytest.raises(ValueError, match="weekdays 0 to 6"):
        detect_count([CountWindow(1, HOUR_US, 0, day_of_week=day)], metrics=1)
    with pytest.raises(ValueError, match="weekdays 0 to 6"):
        detect_gauge([GaugeWindow(math.pi, 0.0, 1, 0, day_of_week=day)], metrics=1)
