"""Known answers of `monte_carlo`: expectations that have a closed form, with their exact spread.
Good results lie within a standard error of the truth; bad ones are far off, subtly off, or boast. Used by the
platform's probes of its own verifier; neither tool nor verifier knows it.
"""

import math
from typing import Any, Final

from app.tasks.monte_carlo.declaration import prepare
from app.tasks.task_type import KnownCase

SAMPLES: Final = 20_000
OFF_BY_ERRORS: Final = 20.0  # own standard errors: eight of the difference, where 4.5 are allowed


def known_case(number: int, is_good: bool) -> KnownCase:  # noqa: FBT001  as every type's
    """Case `number`: a model with a known expectation, and a result that is good or wrong in one way."""
    model, mean, spread = _models(number)[number % 3]
    prepared = prepare({"model": model, "samples": SAMPLES, "seed": number})
    error = spread / math.sqrt(SAMPLES)
    shift = math.sin(number)  # within one standard error, and never the same
    good = {"estimate": mean + shift * error, "standard_error": error, "samples": SAMPLES}
    if is_good:
        return KnownCase(
            f"{model['name']} within an error", prepared.public, prepared.private, good, is_good=True
        )
    name, change = _faults(good, error)[number % 7]
    return KnownCase(
        f"{model['name']} {name}", prepared.public, prepared.private, {**good, **change}, is_good=False
    )


def _faults(good: dict[str, Any], error: float) -> list[tuple[str, dict[str, object]]]:
    estimate = good["estimate"]
    return [
        ("twenty errors too high", {"estimate": estimate + OFF_BY_ERRORS * error}),
        ("twenty errors too low", {"estimate": estimate - OFF_BY_ERRORS * error}),
        ("half the error", {"standard_error": error / 2}),
        ("twice the error", {"standard_error": error * 2}),
        ("too few samples", {"samples": SAMPLES // 20}),
        ("too many samples", {"samples": SAMPLES * 3, "standard_error": error / math.sqrt(3)}),
        ("the estimate as a text", {"estimate": str(estimate)}),
    ]


def _models(number: int) -> list[tuple[dict[str, Any], float, float]]:
    """Return models with expectation and standard deviation of one sample; they vary with the number."""
    reliability = 0.55 + 0.4 * (number % 17) / 17
    works = 1.0 - (1.0 - reliability) ** 2
    dimensions = 1 + number % 4
    first = (math.sqrt(math.pi) / 2 * math.erf(1.0)) ** dimensions
    second = (math.sqrt(math.pi / 2) / 2 * math.erf(math.sqrt(2.0))) ** dimensions
    parallel = {"needed": 1, "components": 2, "component_reliability": reliability}
    return [
        ({"name": "pi_integral"}, math.pi, math.sqrt(math.pi * (4.0 - math.pi))),
        (
            {"name": "system_reliability", "blocks": [parallel]},
            works,
            math.sqrt(works * (1.0 - works)),
        ),
        ({"name": "gaussian_integral", "dimensions": dimensions}, first, math.sqrt(second - first**2)),
    ]
