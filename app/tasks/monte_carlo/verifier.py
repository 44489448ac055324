"""The platform's side of `monte_carlo`: estimates again, smaller and with a seed no agent knew, and compares.
It never trusts a claimed error: that must agree with the spread the platform finds itself.
"""

import math
from typing import Annotated, Any

from pydantic import Field

from app.tasks.monte_carlo.declaration import MonteCarloPayload
from app.tasks.monte_carlo.sampling import Values, sampled
from app.tasks.seeding import derived_seed
from app.tasks.task_type import Fetch, Verification
from app.tasks.verification import Result, read_result, refused, verified

SHARE_RESAMPLED = 0.2
SAMPLES_MIN, SAMPLES_MAX = 2_000, 250_000
DRAWS_MAX = 2_000_000
Z_MAX = 4.5
ERROR_RATIO_MAX = 1.25  # claimed error over own, either way, before the allowance for sampling noise
OVERSHOOT_MAX = 2  # samples claimed over samples asked for


class MonteCarloResult(Result):
    """What a worker hands in."""

    estimate: Annotated[float, Field(ge=-1e12, le=1e12)]
    standard_error: Annotated[float, Field(ge=0, le=1e12)]
    samples: Annotated[int, Field(ge=1, le=100_000_000)]


def verify(public: dict[str, Any], private: dict[str, Any], result: object, fetch: Fetch) -> Verification:
    """Accept an estimate that agrees with an independent one and an error that agrees with the spread."""
    del fetch  # nothing outside is needed
    claim = read_result(MonteCarloResult, result)
    if isinstance(claim, Verification):
        return claim
    task = MonteCarloPayload.model_validate(public)
    minimum = task.minimum_samples or max(100, task.samples // 10)
    if claim.samples < minimum:
        return refused("too_few_samples", f"{claim.samples} samples where at least {minimum} were asked for")
    if claim.samples > OVERSHOOT_MAX * task.samples:
        return refused("too_many_samples", f"{claim.samples} samples claimed, {task.samples} asked for")
    seed = derived_seed("monte_carlo.verify", private["check_seed"], claim.model_dump())
    return _compared(claim, sampled(task.model, seed, _own_samples(task)))


def _own_samples(task: MonteCarloPayload) -> int:
    wanted = min(SAMPLES_MAX, max(SAMPLES_MIN, int(SHARE_RESAMPLED * task.samples)))
    return max(500, min(wanted, DRAWS_MAX // task.model.dimension))


def _compared(claim: MonteCarloResult, own: Values) -> Verification:
    own_estimate, own_spread = float(own.mean()), float(own.std(ddof=1))
    if own_spread == 0.0:
        is_same = claim.standard_error == 0.0 and math.isclose(claim.estimate, own_estimate, abs_tol=1e-12)
        outcome = verified if is_same else refused
        return outcome(*_degenerate(is_same=is_same), own_estimate=own_estimate)
    expected_error = own_spread / math.sqrt(claim.samples)
    combined = math.hypot(expected_error, own_spread / math.sqrt(len(own)))
    measures = {
        "z": (claim.estimate - own_estimate) / combined,
        "error_ratio": claim.standard_error / expected_error,
        "own_estimate": own_estimate,
    }
    bound = _ratio_bound(own, claim.samples)
    if not 1.0 / bound <= measures["error_ratio"] <= bound:
        said = "understated" if measures["error_ratio"] < 1.0 else "overstated"
        sentence = f"{claim.standard_error:.3g} claimed, about {expected_error:.3g} found"
        return refused(f"standard_error_{said}", sentence, **measures)
    if abs(measures["z"]) > Z_MAX:
        sentence = f"{claim.estimate:.6g} is {measures['z']:+.1f} standard errors from the platform's own"
        return refused("estimate_off", sentence, **measures)
    return verified("estimate and error agree with an independent estimate", **measures)


def _degenerate(*, is_same: bool) -> tuple[str, ...]:
    if is_same:
        return ("the model does not vary and the estimate is its value",)
    return "cannot_check", "the platform's own samples do not vary, the claimed ones do"


def _ratio_bound(own: Values, claimed_samples: int) -> float:
    """ERROR_RATIO_MAX widened by 4 standard deviations of log(sd): √((kurtosis − 1)/4n) for each side."""
    centred = own - own.mean()
    variance = float((centred**2).mean())
    kurtosis = float((centred**4).mean()) / variance**2
    noise = math.sqrt(max(kurtosis - 1.0, 0.0) / 4.0 * (1.0 / len(own) + 1.0 / claimed_samples))
    return ERROR_RATIO_MAX * math.exp(min(4.0 * noise, 1.0))
