"""Known answers of `physics_simulation`: the damped oscillator, whose motion has a closed form.
Good results are that form; bad ones solve a slightly different system, or are cut, shifted or misplaced. Used
by the platform's probes of its own verifier; neither tool nor verifier knows it.
"""

import math
from typing import Any, Final

from app.tasks.physics_simulation.declaration import prepare
from app.tasks.task_type import KnownCase

POINTS: Final = 10
DURATION_SECONDS: Final = 3.0
TOLERANCE: Final = 1e-6
SLIGHTLY: Final = 1e-3  # a relative error a thousand times the tolerance, invisible to the eye


def known_case(number: int, is_good: bool) -> KnownCase:  # noqa: FBT001  as every type's
    """Case `number`: an oscillator, and a trajectory that is exact or wrong in one way."""
    frequency = 1.0 + (number % 13) / 10
    damping = 0.05 + (number % 7) / 20
    position = 1.0 + number % 5
    system = {
        "name": "damped_oscillator",
        "natural_frequency_per_second": frequency,
        "damping_ratio": damping,
        "position": position,
    }
    prepared = prepare(
        {
            "system": system,
            "duration_seconds": DURATION_SECONDS,
            "points": POINTS,
            "tolerance": TOLERANCE,
            "seed": number,
        }
    )
    good = _motion(frequency, damping, position)
    name, result = ("exact", good) if is_good else _faults(good, frequency, damping, position)[number % 7]
    return KnownCase(name, prepared.public, prepared.private, result, is_good)


def _motion(frequency: float, damping: float, position: float) -> dict[str, Any]:
    """Return the exact motion from rest at `position`: x = A e^(-γt) (cos ωt + γ/ω sin ωt), underdamped."""
    decay = damping * frequency
    turning = frequency * math.sqrt(1.0 - damping**2)
    times = [DURATION_SECONDS * step / (POINTS - 1) for step in range(POINTS)]
    states = []
    for time in times:
        size = position * math.exp(-decay * time)
        sine, cosine = math.sin(turning * time), math.cos(turning * time)
        states.append([size * (cosine + decay / turning * sine), -size * (frequency**2 / turning) * sine])
    return {"times": times, "states": states}


def _faults(
    good: dict[str, Any], frequency: float, damping: float, position: float
) -> list[tuple[str, dict[str, Any]]]:
    states, times = good["states"], good["times"]
    shifted = [[x * (1 + SLIGHTLY * step), v] for step, (x, v) in enumerate(states)]
    return [
        ("a slightly higher frequency", _motion(frequency * (1 + SLIGHTLY), damping, position)),
        ("a slightly weaker damping", _motion(frequency, damping * (1 - 10 * SLIGHTLY), position)),
        ("positions that drift slightly", {"times": times, "states": shifted}),
        ("another start", _motion(frequency, damping, position * 1.01)),
        ("one point too few", {"times": times[:-1], "states": states[:-1]}),
        ("times moved on", {"times": [time + 0.01 for time in times], "states": states}),
        ("no speeds", {"times": times, "states": [[x] for x, _ in states]}),
    ]
