"""Trajectories agree with closed forms that the code under test does not know; false ones are found."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from app.tasks.deadline import DeadlinePassedError
from tests.app.tasks.trials import codes, judged, prepared, worked

NAME = "physics_simulation"
SYSTEMS = {
    "pendulum": {"name": "pendulum", "length_metres": 1.0, "angle_radians": 2.0},
    "lotka_volterra": {
        "name": "lotka_volterra",
        "prey_growth": 1.1,
        "predation": 0.4,
        "predator_death": 0.4,
        "conversion": 0.1,
        "prey": 10.0,
        "predators": 5.0,
    },
    "kepler": {"name": "kepler", "eccentricity": 0.5},
    "damped_oscillator": {
        "name": "damped_oscillator",
        "natural_frequency_per_second": 2.0,
        "damping_ratio": 0.05,
        "position": 1.0,
    },
}


def test_a_damped_oscillator_follows_its_closed_form():
    result = worked(NAME, prepared(NAME, system=SYSTEMS["damped_oscillator"], duration_seconds=10.0))
    damped = 2.0 * math.sqrt(1 - 0.05**2)
    times = np.array(result["times"])
    shape = np.cos(damped * times) + 0.05 * 2.0 / damped * np.sin(damped * times)
    assert np.allclose(np.array(result["states"])[:, 0], np.exp(-0.1 * times) * shape, atol=1e-7)


def test_an_orbit_returns_to_its_start_after_its_period():
    period = {"system": SYSTEMS["kepler"], "duration_seconds": 2 * math.pi, "points": 50}
    result = worked(NAME, prepared(NAME, **period))
    assert np.allclose(result["states"][-1], result["states"][0], atol=1e-6)


def test_a_small_pendulum_swings_with_the_period_of_the_textbook():
    small = {**SYSTEMS["pendulum"], "angle_radians": 0.001}
    period = 2 * math.pi * math.sqrt(1 / 9.81)
    result = worked(NAME, prepared(NAME, system=small, duration_seconds=period, points=11))
    assert result["states"][-1][0] == pytest.approx(0.001, rel=1e-4)
    assert result["states"][5][0] == pytest.approx(-0.001, rel=1e-4)


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_full_effort_verifies_for_every_system_and_seed(system):
    payloads = [{"system": SYSTEMS[system], "seed": seed} for seed in range(6)]
    assert codes(NAME, payloads, 1.0) == ["verified"] * 6


@pytest.mark.parametrize("tolerance", [1e-8, 1e-5, 1e-3])
def test_full_effort_verifies_at_every_tolerance(tolerance):
    payloads = [{"system": system, "tolerance": tolerance} for system in SYSTEMS.values()]
    assert codes(NAME, payloads, 1.0) == ["verified"] * 4


def spread(draw, low, high):
    return low * (high / low) ** draw.random()


RANDOM_SYSTEMS = {
    "pendulum": lambda draw: {
        "length_metres": spread(draw, 0.1, 100),
        "angle_radians": draw.uniform(-3, 3),
        "angular_velocity_per_second": draw.uniform(-10, 10),
    },
    "kepler": lambda draw: {"semi_major_axis": spread(draw, 0.1, 100), "eccentricity": draw.uniform(0, 0.9)},
    "lotka_volterra": lambda draw: {
        **{
            name: spread(draw, 0.1, 5)
            for name in ("prey_growth", "predation", "predator_death", "conversion")
        },
        "prey": spread(draw, 0.1, 10),
        "predators": spread(draw, 0.1, 10),
    },
    "damped_oscillator": lambda draw: {
        "natural_frequency_per_second": spread(draw, 0.01, 10),
        "damping_ratio": draw.uniform(0, 2),
        "position": draw.uniform(-100, 100),
        "velocity": draw.uniform(-100, 100),
    },
}


@pytest.mark.parametrize("system", sorted(RANDOM_SYSTEMS))
def test_no_honest_worker_is_refused_on_any_admitted_task(system):
    draw, verified = random.Random(system), 0
    while verified < 15:
        payload = {
            "system": {"name": system, **RANDOM_SYSTEMS[system](draw)},
            "duration_seconds": spread(draw, 0.5, 200),
            "tolerance": spread(draw, 1e-8, 1e-3),
            "points": draw.randint(10, 200),
            "seed": draw.randrange(2**32),
        }
        try:
            task = prepared(NAME, **payload)
        except ValidationError:
            continue  # too many turns or too far from balance
        verdict = judged(NAME, task, worked(NAME, task))
        assert verdict.is_verified, (verdict, payload)
        verified += 1


def test_poor_effort_leaves_a_residual():
    found = codes(NAME, [{"seed": seed} for seed in range(8)], 0.15)
    assert set(found) <= {"residual", "not_conserved"}


def test_middling_effort_passes_now_and_then():
    found = codes(NAME, [{"seed": seed} for seed in range(25)], 0.3)
    assert 0 < found.count("verified") < 25


def changed_state(result, index, factor):
    states = [list(state) for state in result["states"]]
    states[index] = [value * factor for value in states[index]]
    return {**result, "states": states}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda result: {**result, "times": result["times"][::-1]}, "wrong_times"),
        (lambda result: {**result, "states": result["states"][:-1]}, "wrong_length"),
        (lambda result: {**result, "states": [state[:3] for state in result["states"]]}, "wrong_width"),
        (lambda result: changed_state(result, 0, 1.001), "wrong_start"),
        (lambda result: changed_state(result, 60, 2.0), "far_from_reference"),
        (lambda result: changed_state(result, 60, 1.001), "not_conserved"),
    ],
    ids=["backwards", "one short", "three wide", "another start", "a jump", "a nudge"],
)
def test_a_tampered_trajectory_is_refused(change, code):
    task = prepared(NAME)
    verdict = judged(NAME, task, change(worked(NAME, task)))
    assert not verdict.is_verified
    # One bad point lies in two of the 119 intervals: seen there as a residual, or as drift everywhere.
    assert verdict.code in {code, "residual"} if code == "not_conserved" else verdict.code == code


def test_a_straight_line_between_true_points_is_found():
    task = prepared(NAME, system=SYSTEMS["damped_oscillator"])
    result = worked(NAME, task)
    half = [[0.5 * (a + b) for a, b in zip(*pair, strict=True)] for pair in pairwise(result["states"])]
    sparse = [state if index % 2 == 0 else half[index - 1] for index, state in enumerate(result["states"])]
    sparse[-1] = result["states"][-1]
    assert judged(NAME, task, {**result, "states": sparse}).code in {"residual", "far_from_reference"}


def test_the_intervals_looked_at_depend_on_what_agents_cannot_see():
    task = prepared(NAME, seed=5)
    assert "seed" not in task.public
    assert task.private["check_seed"] != prepared(NAME, seed=6).private["check_seed"]


def test_time_runs_out():
    with pytest.raises(DeadlinePassedError):
        worked(NAME, prepared(NAME, duration_seconds=200.0, tolerance=1e-8), deadline_seconds=0.001)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": {"name": "double_pendulum"}}, "double_pendulum"),
        ({"system": {"name": "kepler", "eccentricity": 1.0}}, "less than or equal to 0.9"),
        ({"system": {"name": "kepler", "semi_major_axis": 0.1, "eccentricity": 0.9}}, "too many turns"),
        ({"system": {**SYSTEMS["lotka_volterra"], "prey": 100.0}}, "too far from balance"),
        ({"points": 201}, "200"),
        ({"duration_seconds": 0}, "greater than 0"),
    ],
)
def test_a_payload_out_of_bounds_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        prepared(NAME, **changes)
