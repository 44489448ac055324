"""The streaming detector: quiet on what is usual, loud on what was planted, strict about what it is fed."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.clock import DAY_US, HOUR_US, MINUTE_US
from services.domain.gauges import SILENCE_US, THRESHOLD_Z, GaugeDetector
from services.domain.measures import Bad

FIVE = 5 * MINUTE_US
DAY = 288


def scores(values, step_us=FIVE, **options):
    detector = GaugeDetector(**options)
    return [detector.update(at * step_us, float(value)) for at, value in enumerate(values)]


def alerts(values, step_us=FIVE, **options):
    return [at for at, score in enumerate(scores(values, step_us, **options)) if score.alert]


def noise(seed, points, level=50.0, sd=5.0):
    return np.random.default_rng(seed).normal(level, sd, points)


def cycle(points, step_us, amplitude):
    return amplitude * np.sin(2 * np.pi * np.arange(points) * step_us / DAY_US)


# --- quiet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_us", "days"), [(FIVE, 14), (30 * MINUTE_US, 42), (HOUR_US, 42)])
@pytest.mark.parametrize("shape", ["noise", "cycle", "drift", "steps", "queue"])
def test_nothing_happening_is_less_than_one_alert_a_week(shape, step_us, days):
    points = days * DAY_US // step_us
    total = 0
    for seed in range(2):
        rng = np.random.default_rng(seed)
        values = {
            "noise": noise(seed, points),
            "cycle": noise(seed, points, sd=3) + cycle(points, step_us, 20),
            "drift": noise(seed, points, sd=3) + np.arange(points) * step_us / DAY_US,
            "steps": np.round(noise(seed, points, level=30.0, sd=1.0)),
            "queue": rng.poisson(20 + cycle(points, step_us, 12)),
        }[shape]
        total += len(alerts(values, step_us))
    assert total <= 2 * days / 7


def test_few_distinct_values_do_not_alarm_though_their_median_deviation_is_zero():
    for share in (0.01, 0.1, 0.3):
        rare = np.random.default_rng(1).random(14 * DAY) < share
        assert alerts(np.where(rare, 0.068, 0.066)) == []


def test_a_series_that_never_moves_says_nothing_and_its_first_move_everything():
    still = scores([7.0] * 5 * DAY)
    assert {score.anomaly_score for score in still} == {0.0}
    assert alerts([0.0] * 5 * DAY + [1.0] * 3) == [5 * DAY]


def test_the_weekly_season_comes_after_two_weeks_and_causes_no_alarm():
    days = 42
    hour = np.arange(days * 24)
    weekday = np.where(hour // 24 % 7 < 5, 1.0, 0.3)
    values = 100 + 60 * weekday * (1 + 0.5 * np.sin(2 * np.pi * hour / 24)) + noise(2, days * 24, 0.0, 3.0)
    assert [at for at in alerts(values, HOUR_US) if at >= 18 * 24] == []
    empty_monday = values.copy()
    empty_monday[35 * 24 : 35 * 24 + 24] = values[33 * 24 : 34 * 24]  # a Monday like a Saturday
    found = alerts(empty_monday, HOUR_US)
    assert any(35 * 24 <= at < 36 * 24 for at in found), "every value of it was seen on other days"


def test_the_first_twelve_hours_are_silent_and_three_days_low_in_confidence():
    wild = [0.0, 1e6] * DAY
    found = scores(wild)
    assert not any(score.alert or score.anomaly_score for score in found[: DAY // 2])
    calm = scores(noise(3, 4 * DAY))
    assert all(score.is_low_confidence for score in calm[: 3 * DAY])
    assert not any(score.is_low_confidence for score in calm[3 * DAY + 1 :])
    early = [*noise(3, DAY), *noise(4, 12, level=100)]
    first = next(score for score in scores(early) if score.alert)
    assert first.is_low_confidence


# --- loud --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shift", "spike", "wider", "flatline", "fall"])
def test_a_planted_anomaly_is_found_within_hours(kind):
    for seed in range(3):
        values = noise(seed, 8 * DAY)
        part = slice(7 * DAY, 7 * DAY + 72)
        if kind == "shift":
            values[part] += 20
        elif kind == "spike":
            values[7 * DAY : 7 * DAY + 12] += 60
        elif kind == "wider":
            values[part] = noise(seed + 50, 72, sd=25)
        elif kind == "flatline":
            values[part] = 50.0
        else:
            values[part] -= 20
        found = [at for at in alerts(values) if at >= 7 * DAY]
        assert found
        assert found[0] < 7 * DAY + 72


def test_an_hourly_series_is_read_at_its_own_rate():
    values = noise(5, 24 * 20)
    values[24 * 15 : 24 * 15 + 6] += 60
    assert any(24 * 15 <= at < 24 * 15 + 6 for at in alerts(values, HOUR_US))


def test_one_incident_is_one_alert_until_the_silence_is_over():
    values = [*noise(6, 7 * DAY), *noise(7, DAY, level=150)]
    found = scores(values)
    at = next(place for place, score in enumerate(found) if score.alert)
    silent = found[at + 1 : at + SILENCE_US // FIVE]
    assert not any(score.alert or score.anomaly_score for score in silent)
    assert max(score.z for score in silent) > THRESHOLD_Z, "what is held back is still told"
    every = alerts(values, silence_us=0)
    assert len(every) > 20
    assert every[0] == at


def test_direction_decides():
    up = [*noise(8, 7 * DAY), *noise(9, 24, level=90)]
    down = [*noise(8, 7 * DAY), *noise(9, 24, level=10)]
    for values, finds in ((up, {Bad.RISE, Bad.EITHER}), (down, {Bad.FALL, Bad.EITHER})):
        late = {bad for bad in Bad if any(at >= 7 * DAY for at in alerts(values, bad=bad))}
        assert late == finds


def test_durations_are_judged_by_their_logarithm():
    rng = np.random.default_rng(10)
    usual = np.exp(rng.normal(3.0, 0.5, 7 * DAY))
    slow = np.exp(rng.normal(5.0, 0.5, 36))
    fast = np.exp(rng.normal(1.0, 0.5, 36))
    assert any(at >= 7 * DAY for at in alerts([*usual, *fast], is_log=True))
    assert not any(at >= 7 * DAY for at in alerts([*usual, *fast], is_log=True, bad=Bad.RISE))
    assert any(at >= 7 * DAY for at in alerts([*usual, *slow], is_log=True, bad=Bad.RISE))
    thousandfold = alerts([*(1_000 * usual), *(1_000 * slow)], is_log=True)
    assert thousandfold == alerts([*usual, *slow], is_log=True)


# --- the score ---------------------------------------------------------------------------------------------


def test_the_score_grows_with_the_departure_and_half_is_the_alert():
    usual = list(noise(11, 7 * DAY))
    newest = [scores([*usual, 50.0 + step], silence_us=0)[-1] for step in (0, 30, 60, 120, 240, 1_000)]
    for low, high in pairwise(newest):
        assert low.z <= high.z
        assert low.anomaly_score <= high.anomaly_score
        assert low.p_value >= high.p_value
    for score in newest:
        assert 0.0 <= score.anomaly_score < 1.0
        assert 0.0 <= score.p_value <= 1.0
        assert score.alert == (score.anomaly_score >= 0.5) == (score.z >= THRESHOLD_Z)
    assert newest[-1].alert
    assert not newest[0].alert


def test_another_threshold_moves_the_line():
    values = [*noise(12, 7 * DAY), *noise(13, 24, level=75)]
    assert any(at >= 7 * DAY for at in alerts(values, threshold_z=2.0, silence_us=0))
    assert not any(at >= 7 * DAY for at in alerts(values, threshold_z=500.0, silence_us=0))


def test_the_p_value_is_the_documented_tail():
    score = scores(noise(14, 2 * DAY))[-1]
    density = [  # Student's t, 8 degrees of freedom, by the trapezoid
        math.gamma(4.5) / (math.sqrt(8 * math.pi) * math.gamma(4)) * (1 + x * x / 8) ** -4.5
        for x in np.arange(score.z, 200, 0.001)
    ]
    assert score.p_value == pytest.approx(min(1.0, 6 * 0.001 * (sum(density) - density[0] / 2)), rel=1e-3)


# --- what it is fed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_leaves_no_trace(value):
    detector, other = GaugeDetector(), GaugeDetector()
    for at, good in enumerate(noise(15, 2 * DAY)):
        if at == DAY:
            with pytest.raises(ValueError, match="finite"):
                detector.update(at * FIVE, value)
        assert detector.update(at * FIVE, good) == other.update(at * FIVE, good)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_logarithm_needs_more_than_zero(value):
    with pytest.raises(ValueError, match="over 0"):
        GaugeDetector(is_log=True).update(0, value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threshold_z": 0.0}, "threshold_z"),
        ({"threshold_z": math.nan}, "threshold_z"),
        ({"silence_us": -1}, "silence_us"),
    ],
)
def test_a_bad_option_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named):
        GaugeDetector(**options)


def test_a_clock_that_steps_back_counts_as_standing_still():
    values = noise(16, 3 * DAY)
    back, still = GaugeDetector(), GaugeDetector()
    for at, value in enumerate(values):
        late = at % 50 == 49
        one = back.update((at - (20 if late else 0)) * FIVE, value)
        two = still.update((at - (1 if late else 0)) * FIVE, value)
        assert one == two


def test_a_long_gap_starts_anew():
    detector = GaugeDetector()
    for at, value in enumerate(noise(17, 7 * DAY)):
        detector.update(at * FIVE, value)
    assert detector.update(40 * DAY_US, 1e9).alert is False


def test_a_fast_series_stays_cheap_in_memory():
    detector = GaugeDetector()
    for second in range(0, 2 * 86_400, 20):
        detector.update(second * 1_000_000, float(second % 7))
    assert len(detector._week) <= 2 * DAY_US // (4 * MINUTE_US) + 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6 * HOUR_US), st.floats(-1e300, 1e300)), max_size=150),
    st.sampled_from(list(Bad)),
)
def test_any_series_is_scored_without_a_fault(steps, bad):
    detector, at_us = GaugeDetector(bad=bad), 0
    for step_us, value in steps:
        at_us += step_us
        score = detector.update(at_us, value)
        assert 0.0 <= score.anomaly_score < 1.0
        assert 0.0 <= score.z <= 1_000.0
        assert 0.0 <= score.p_value <= 1.0
        assert not (score.alert and score.anomaly_score < 0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 1e9]))
def test_the_unit_does_not_matter(seed, unit):
    values = np.round(noise(seed, 2 * DAY), 3)
    values[-6:] += 40
    one, two = scores(values), scores(values * unit)
    for left, right in zip(one, two, strict=True):
        assert left.z == pytest.approx(right.z, rel=1e-4, abs=1e-4)
