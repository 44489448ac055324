"""The named systems as equations: right-hand side, initial state, conserved quantities; and one integration.
Used by the tool and, with a tight tolerance, by the verifier. It never judges.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from app.tasks.physics_simulation.declaration import (
    DampedOscillator,
    Kepler,
    LotkaVolterra,
    Pendulum,
    System,
)

States: TypeAlias = NDArray[np.float64]
Slope: TypeAlias = Callable[[Sequence[float]], list[float]]
CALLS_BETWEEN_CHECKS = 64


class IntegrationError(ArithmeticError):
    """The solver gave up: steps became too small or the state left the finite numbers."""


@dataclass(frozen=True, slots=True)
class Equations:
    """A system as numbers: `slope(state)`, its start, and `conserved(states)` (rows: quantities)."""

    slope: Slope
    initial: tuple[float, ...]
    conserved: Callable[[States], States]


def equations(system: System) -> Equations:
    """The equations of a named system."""
    if isinstance(system, Pendulum):
        return _pendulum(system)
    if isinstance(system, LotkaVolterra):
        return _lotka_volterra(system)
    if isinstance(system, Kepler):
        return _kepler(system)
    return _damped_oscillator(system)


def integrated(
    slope: Slope,
    start: Sequence[float],
    times: Sequence[float],
    relative_tolerance: float,
    check: Callable[[], None],
) -> States:
    """States (one row a time) at `times` from `start` at times[0], by DOP853; `check` may raise to stop.

    Raises:
        IntegrationError: the solver gave up.
    """
    scale = max(1e-3, *(abs(value) for value in start))
    calls = 0

    def counted(_time: float, state: States) -> list[float]:
        nonlocal calls
        calls += 1
        if calls % CALLS_BETWEEN_CHECKS == 0:
            check()
        return slope(state.tolist())

    try:
        solution = solve_ivp(
            counted,
            (times[0], times[-1]),
            np.asarray(start, dtype=np.float64),
            method="DOP853",
            t_eval=np.asarray(times, dtype=np.float64),
            rtol=max(relative_tolerance, 1e-13),
            atol=relative_tolerance * scale,
        )
    except OverflowError as error:
        raise IntegrationError("the state left the finite numbers") from error
    if not solution.success:
        raise IntegrationError(str(solution.message))
    return np.asarray(solution.y.T, dtype=np.float64)


def _pendulum(system: Pendulum) -> Equations:
    ratio = system.gravity_metres_per_second2 / system.length_metres

    def slope(state: Sequence[float]) -> list[float]:
        return [state[1], -ratio * math.sin(state[0])]

    def conserved(states: States) -> States:
        return np.array([0.5 * states[:, 1] ** 2 + ratio * (1.0 - np.cos(states[:, 0]))])

    return Equations(slope, (system.angle_radians, system.angular_velocity_per_second), conserved)


def _lotka_volterra(system: LotkaVolterra) -> Equations:
    a, b, c, d = system.prey_growth, system.predation, system.predator_death, system.conversion

    def slope(state: Sequence[float]) -> list[float]:
        prey, predators = state
        return [a * prey - b * prey * predators, d * prey * predators - c * predators]

    def conserved(states: States) -> States:
        prey, predators = np.maximum(states, 1e-300).T
        return np.array([d * prey - c * np.log(prey) + b * predators - a * np.log(predators)])

    return Equations(slope, (system.prey, system.predators), conserved)


def _kepler(system: Kepler) -> Equations:
    near = system.semi_major_axis * (1.0 - system.eccentricity)
    speed = math.sqrt((1.0 + system.eccentricity) / near)

    def slope(state: Sequence[float]) -> list[float]:
        x, y, vx, vy = state
        cube = max(x * x + y * y, 1e-12) ** 1.5
        return [vx, vy, -x / cube, -y / cube]

    def conserved(states: States) -> States:
        x, y, vx, vy = states.T
        energy = 0.5 * (vx**2 + vy**2) - 1.0 / np.maximum(np.hypot(x, y), 1e-6)
        return np.array([energy, x * vy - y * vx])

    return Equations(slope, (near, 0.0, 0.0, speed), conserved)


def _damped_oscillator(system: DampedOscillator) -> Equations:
    frequency, damping = system.natural_frequency_per_second, system.damping_ratio

    def slope(state: Sequence[float]) -> list[float]:
        return [state[1], -2.0 * damping * frequency * state[1] - frequency**2 * state[0]]

    def conserved(states: States) -> States:
        return np.empty((0, len(states)))

    return Equations(slope, (system.position, system.velocity), conserved)
