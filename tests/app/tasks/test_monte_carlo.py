"""Estimates agree with closed forms that the code under test does not know; false claims are found."""

import math

import pytest
from pydantic import ValidationError

from app.tasks.deadline import DeadlinePassedError
from tests.app.tasks.trials import codes, judged, prepared, worked

NAME = "monte_carlo"
SEEDS = [{"seed": seed} for seed in range(12)]
BLOCKS = [
    {"needed": 2, "components": 3, "component_reliability": 0.9},
    {"needed": 1, "components": 2, "component_reliability": 0.8},
]
MODELS = {
    "pi": {"name": "pi_integral"},
    "gaussian": {"name": "gaussian_integral", "dimensions": 3},
    "reliability": {"name": "system_reliability", "blocks": BLOCKS},
    "put": {
        "name": "european_option",
        "kind": "put",
        "spot": 100,
        "strike": 110,
        "rate_per_year": 0.02,
        "volatility_per_root_year": 0.3,
        "maturity_years": 2,
    },
    "asian": {
        "name": "asian_option",
        "spot": 100,
        "strike": 95,
        "rate_per_year": 0.02,
        "volatility_per_root_year": 0.2,
        "maturity_years": 1,
        "steps": 12,
    },
}


def normal_share(value):
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


def black_scholes_put(spot, strike, rate, volatility, years):
    """Black and Scholes 1973, equation 13, by put-call parity."""
    spread = volatility * math.sqrt(years)
    first = (math.log(spot / strike) + (rate + volatility**2 / 2) * years) / spread
    discounted = strike * math.exp(-rate * years)
    return discounted * normal_share(spread - first) - spot * normal_share(-first)


TRUTH = {
    "pi": math.pi,
    "gaussian": (math.sqrt(math.pi) / 2 * math.erf(1)) ** 3,
    "reliability": (3 * 0.9**2 * 0.1 + 0.9**3) * (1 - 0.2**2),
    "put": black_scholes_put(100, 110, 0.02, 0.3, 2),
}


@pytest.mark.parametrize("model", sorted(TRUTH))
def test_the_estimate_is_within_five_of_its_errors_of_the_truth(model):
    result = worked(NAME, prepared(NAME, model=MODELS[model], samples=200_000))
    assert abs(result["estimate"] - TRUTH[model]) < 5 * result["standard_error"]
    assert result["standard_error"] < 0.01 * TRUTH[model]


def test_an_average_price_option_costs_less_than_the_plain_one_and_more_than_its_certain_part():
    plain = {**MODELS["asian"], "name": "european_option", "kind": "call"}
    del plain["steps"]
    asian, european = (
        worked(NAME, prepared(NAME, model=model, samples=50_000))["estimate"]
        for model in (MODELS["asian"], plain)
    )
    assert 5.0 < asian < european


@pytest.mark.parametrize("model", sorted(MODELS))
def test_full_effort_verifies_for_every_model_and_seed(model):
    payloads = [{**seed, "model": MODELS[model], "samples": 20_000} for seed in SEEDS]
    assert codes(NAME, payloads, 1.0) == ["verified"] * len(SEEDS)


def test_poor_effort_fails_often_and_not_always_because_of_its_error():
    found = codes(NAME, [{"samples": 200_000, "seed": seed} for seed in range(40)], 0.15)
    assert 10 <= found.count("verified") <= 30
    assert set(found) <= {"verified", "standard_error_understated", "standard_error_overstated"}


def test_next_to_no_effort_is_too_few_samples():
    assert codes(NAME, SEEDS[:3], 0.05) == ["too_few_samples"] * 3


def test_the_same_task_gives_the_same_result_and_the_same_verdict():
    task = prepared(NAME, samples=20_000)
    result = worked(NAME, task)
    assert worked(NAME, task) == result
    assert judged(NAME, task, result) == judged(NAME, task, result)


def test_agents_never_see_the_seed_the_check_comes_from():
    task = prepared(NAME, seed=41)
    assert task.public["seed"] != 41
    assert str(task.private["check_seed"]) not in str(task.public)
    assert set(task.private) == {"check_seed"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda result: {"estimate": result["estimate"] * 1.15}, "estimate_off"),
        (lambda result: {"standard_error": result["standard_error"] / 2}, "standard_error_understated"),
        (lambda result: {"standard_error": result["standard_error"] * 2}, "standard_error_overstated"),
        (lambda result: {"standard_error": 0.0}, "standard_error_understated"),
        (lambda result: {"samples": 100}, "too_few_samples"),
        (lambda result: {"samples": 100_000_000}, "too_many_samples"),
        (lambda result: {"samples": result["samples"] // 4}, "standard_error_understated"),
    ],
    ids=[
        "estimate",
        "half the error",
        "twice the error",
        "no error",
        "few",
        "absurdly many",
        "fewer than said",
    ],
)
def test_a_tampered_result_is_refused(change, code):
    task = prepared(NAME, samples=100_000)
    result = worked(NAME, task)
    verdict = judged(NAME, task, {**result, **change(result)})
    assert (verdict.is_verified, verdict.code) == (False, code)


def test_a_model_that_never_varies_is_verified_by_its_value_and_nothing_else():
    worthless = {**MODELS["put"], "strike": 1e-3, "volatility_per_root_year": 0.01}
    task = prepared(NAME, model=worthless, samples=5_000)
    result = worked(NAME, task)
    assert judged(NAME, task, result).is_verified
    assert judged(NAME, task, {**result, "estimate": 1.0}).code == "cannot_check"


def test_a_rare_event_is_not_refused_for_the_noise_in_its_spread():
    blocks = [{"needed": 1, "components": 2, "component_reliability": 0.97}]
    model = {"name": "system_reliability", "blocks": blocks}
    payloads = [{**seed, "model": model, "samples": 20_000} for seed in SEEDS]
    assert codes(NAME, payloads, 1.0) == ["verified"] * len(SEEDS)


def test_time_runs_out():
    with pytest.raises(DeadlinePassedError, match=r"0\.001 s"):
        worked(NAME, prepared(NAME, samples=5_000_000), deadline_seconds=0.001)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"name": "lottery"}}, "lottery"),
        ({"samples": 10}, "1000"),
        ({"minimum_samples": 700_000}, "minimum_samples is more than samples"),
        ({"model": {**MODELS["asian"], "steps": 365}}, "samples × draws"),
        ({"model": {**MODELS["put"], "spot": float("inf")}}, "finite|less than"),
        (
            {
                "model": {
                    "name": "system_reliability",
                    "blocks": [{"needed": 3, "components": 2, "component_reliability": 0.5}],
                }
            },
            "needed is more than components",
        ),
    ],
)
def test_a_payload_out_of_bounds_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        prepared(NAME, **changes)
