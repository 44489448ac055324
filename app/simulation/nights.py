"""Worlds in which what the nights remember may matter: what is true, what happened, what goes wrong today.

Stands under `app.simulation.recollection`. Each world is one kind of work with a time limit and three dials;
how long a task takes and whether it is verified follows from the values in force and from whether the work
has become harder. Whatever is drawn is drawn from the generator that is given. It never looks at a platform.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.simulation.task_types import TIMEOUT, dial_name, type_name
from services.domain.states import EndReason

KIND: Final = type_name(0)
LIMIT: Final = f"{KIND}.{TIMEOUT}"
DIALS: Final = tuple(f"{KIND}.{dial_name(number)}" for number in range(3))
SHORT_SECONDS: Final = 2.0
LONG_SECONDS: Final = 4.0
NEVER_SECONDS: Final = 10_000.0
VERIFIED_SHARE: Final = 0.97
DAYS: Final = 14
EXACT_TASKS: Final = 20_000

Values = Mapping[str, float]
PLAIN: Final[Values] = {LIMIT: SHORT_SECONDS, **dict.fromkeys(DIALS, 1.0)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one task went: seconds it ran, and why it failed (None: verified)."""

    seconds: float
    reason: EndReason | None


Draw = Callable[[random.Random, Values, bool], tuple[float, float]]
"""Seconds that a task needs, and the chance that its result is verified, by values and hardness."""


@dataclass(frozen=True, slots=True)
class NightWorld:
    """One world. `past` says per day before today (0 the oldest) what values were in force, in shares of the
    day's tasks, and whether the work was hard; `today` are the values since the early morning.

    `cures` are the parameters of which a change is right, none where nothing helps.
    """

    name: str
    summary: str
    draw: Draw
    past: Callable[[int], tuple[tuple[tuple[float, Values], ...], bool]]
    today: Values
    cures: frozenset[str]
    tasks_per_day: int = 120
    window_tasks: int = 60


def outcome(world: NightWorld, rng: random.Random, values: Values, *, is_hard: bool) -> Outcome:
    """Draw one task."""
    needed, verified = world.draw(rng, values, is_hard)
    if needed > values[LIMIT]:
        return Outcome(values[LIMIT], EndReason.TIMED_OUT)
    return Outcome(needed, None if rng.random() < verified else EndReason.VERIFICATION_FAILED)


def true_rate(world: NightWorld, values: Values) -> float:
    """Return the success rate of today's work under some values, by 20,000 draws of a fixed seed."""
    return _true_rate(world.name, tuple(sorted(values.items())))


@lru_cache(maxsize=1_024)
def _true_rate(name: str, values: tuple[tuple[str, float], ...]) -> float:
    world, rng = WORLDS[name], random.Random(f"truth:{name}")
    good = sum(outcome(world, rng, dict(values), is_hard=True).reason is None for _ in range(EXACT_TASKS))
    return good / EXACT_TASKS


def _pareto(rng: random.Random, scale: float, exponent: float) -> float:
    return float(scale * (1.0 - rng.random()) ** (-1.0 / exponent))


def _late(rng: random.Random, _values: Values, is_hard: bool) -> tuple[float, float]:  # noqa: FBT001
    """Most work is quick, little ends just before the limit; where it is hard a third ends well after it."""
    place = rng.random()
    if place < (0.28 if is_hard else 0.02):
        return 2.2 + 0.8 * rng.random(), VERIFIED_SHARE
    return (1.0 + rng.random() if place > 0.94 else 0.3 + 0.7 * rng.random()), VERIFIED_SHARE  # noqa: PLR2004


def _slow(rng: random.Random, _values: Values, is_hard: bool) -> tuple[float, float]:  # noqa: FBT001
    return _pareto(rng, 1.25 if is_hard else 0.6, 2.5), VERIFIED_SHARE


def _hanging_by_a_dial(rng: random.Random, values: Values, is_hard: bool) -> tuple[float, float]:  # noqa: FBT001
    share = 0.35 if is_hard and values[DIALS[1]] > 1.5 else 0.03  # noqa: PLR2004
    return _maybe_for_ever(rng, share), VERIFIED_SHARE


def _hanging(rng: random.Random, _values: Values, is_hard: bool) -> tuple[float, float]:  # noqa: FBT001
    return _maybe_for_ever(rng, 0.35 if is_hard else 0.03), VERIFIED_SHARE


def _maybe_for_ever(rng: random.Random, share: float) -> float:
    return NEVER_SECONDS if rng.random() < share else 0.3 + 1.6 * rng.random()


def _poor_by_a_dial(rng: random.Random, values: Values, is_hard: bool) -> tuple[float, float]:  # noqa: FBT001
    is_poor = is_hard and values[DIALS[2]] < 0.75  # noqa: PLR2004
    return 0.3 + 0.8 * rng.random(), 0.7 if is_poor else VERIFIED_SHARE


def _always(values: Values) -> Callable[[int], tuple[tuple[tuple[float, Values], ...], bool]]:
    return lambda _day: (((1.0, values),), False)


def _once_allowed_more(day: int) -> tuple[tuple[tuple[float, Values], ...], bool]:
    """An earlier spell of the same trouble, days 4 and 5, in which half of the tasks were given more time."""
    is_hard = day in (4, 5)
    half = ((0.5, PLAIN), (0.5, {**PLAIN, LIMIT: LONG_SECONDS}))
    return (half if is_hard else ((1.0, PLAIN),)), is_hard


def _restless(day: int) -> tuple[tuple[tuple[float, Values], ...], bool]:
    """Two dials are changed on the way, and nothing comes of it."""
    first = 2.0 if day >= 3 else 1.0  # noqa: PLR2004
    second = 0.5 if day >= 9 else 1.0  # noqa: PLR2004
    return ((1.0, {**PLAIN, DIALS[0]: first, DIALS[1]: second}),), False


WORLDS: Mapping[str, NightWorld] = {
    world.name: world
    for world in (
        NightWorld(
            "late", "a third ends well after the limit, little just before; once, half was given more time",
            _late, _once_allowed_more, PLAIN, frozenset({LIMIT}), window_tasks=20,
        ),
        NightWorld(
            "hang", "a dial was turned this morning, a third of the work hangs: it looks like a short limit",
            _hanging_by_a_dial, _always(PLAIN), {**PLAIN, DIALS[1]: 2.0}, frozenset({DIALS[1]}),
        ),
        NightWorld(
            "several", "results fail; of three dials that were turned, two did no harm",
            _poor_by_a_dial, _restless,
            {**PLAIN, DIALS[0]: 2.0, DIALS[1]: 0.5, DIALS[2]: 0.5}, frozenset({DIALS[2]}),
        ),
        NightWorld(
            "incurable", "a third of the work hangs again, and more time did not help the last time",
            _hanging, _once_allowed_more, PLAIN, frozenset(),
        ),
        NightWorld(
            "coincidence", "work slows down, and on the same morning a harmless dial was turned",
            _slow, _always(PLAIN), {**PLAIN, DIALS[0]: 2.0}, frozenset({LIMIT}),
        ),
    )
}  # fmt: skip
