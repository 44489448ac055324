"""Simulated tasks of the bars: one generator per situation, every array drawn from the generator passed in.

Ours and every peer are handed the same `Batch`. It holds what a platform would record and never a verdict.
"""

from dataclasses import dataclass, replace

import numpy as np

SLOW_FAILURE_TASKS = 2_000
SLOW_FAILURE_RATE = 0.67
SUCCESS_SECONDS = (5.0, 60.0)
FAILURE_SECONDS = (90.0, 180.0)  # the change is a longer timeout: control's failures resolve at 90 s
DRIFT = (0.60, 0.90)
RAMP = (0.1, 0.9)
AGENT_LOGIT = 1.0  # of the average agent: success 0.73
TYPE_RATES = (0.35, 0.55, 0.70, 0.85, 0.97)
PARETO_SHAPE = 1.2


@dataclass(frozen=True, slots=True)
class Batch:
    """Experiments of equal length, one a row, tasks in assignment order (shape: runs × tasks).

    shares: treatment's probability π of each task; arms: 1 is treatment; outcomes: success 0 or 1, a score,
    or a raw cost; strata: a number per task for what was known before its arm, None when all are of one kind;
    units: the randomised unit of each task, None when it is the task.
    """

    shares: np.ndarray
    arms: np.ndarray
    outcomes: np.ndarray
    strata: np.ndarray | None = None
    units: np.ndarray | None = None

    @property
    def runs(self) -> int:
        """How many experiments there are."""
        return self.arms.shape[0]

    @property
    def tasks(self) -> int:
        """How many tasks each experiment has."""
        return self.arms.shape[1]

    def reordered(self, order: np.ndarray) -> "Batch":
        """Return the same tasks in another order (shape of `order`: runs × tasks)."""
        columns = {
            name: np.take_along_axis(column, order, axis=1)
            for name in ("shares", "arms", "outcomes", "strata", "units")
            if (column := getattr(self, name)) is not None
        }
        return replace(self, **columns)


def tossed(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """Return arms, treatment with the given probability each (shape of `shares`)."""
    return (rng.random(shares.shape) < shares).astype(float)


def two_rates(
    rng: np.random.Generator, runs: int, tasks: int, control: float, treatment: float, promised: float = 0.5,
    real: float | None = None,
) -> Batch:  # fmt: skip
    """Return success or failure at a constant rate per arm; `real`: the share if it is not as promised."""
    arms = tossed(rng, np.full((runs, tasks), promised if real is None else real))
    rates = np.where(arms == 1.0, treatment, control)
    return Batch(np.full((runs, tasks), promised), arms, tossed(rng, rates))


def ramp_and_drift(rng: np.random.Generator, runs: int, tasks: int) -> Batch:
    """Return a null in which the platform improves 0.60 → 0.90 while treatment's share ramps 0.1 → 0.9."""
    shares = np.tile(np.linspace(*RAMP, tasks), (runs, 1))
    rates = np.tile(np.linspace(*DRIFT, tasks), (runs, 1))
    return Batch(shares, tossed(rng, shares), tossed(rng, rates))


def slow_failures(rng: np.random.Generator, runs: int) -> tuple[Batch, Batch]:
    """Return a null, one task a second, failures later in treatment: as assigned and as completed."""
    shape = (runs, SLOW_FAILURE_TASKS)
    batch = two_rates(rng, *shape, SLOW_FAILURE_RATE, SLOW_FAILURE_RATE)
    success = rng.uniform(*SUCCESS_SECONDS, shape)
    failure = np.where(batch.arms == 1.0, FAILURE_SECONDS[1], FAILURE_SECONDS[0])
    ends = np.arange(SLOW_FAILURE_TASKS) + np.where(batch.outcomes == 1.0, success, failure)
    return batch, batch.reordered(np.argsort(ends, axis=1, kind="stable"))


def unlike_agents(rng: np.random.Generator, runs: int, tasks: int, agents: int, *, by_agent: bool) -> Batch:
    """Return a null in which agents differ (logit: normal, sd 1) and the arm is drawn per task or agent."""
    ability = 1.0 / (1.0 + np.exp(-AGENT_LOGIT - rng.standard_normal((runs, agents))))
    agent = rng.integers(0, agents, (runs, tasks))
    shares = np.full((runs, tasks), 0.5)
    if by_agent:
        arms = np.take_along_axis(tossed(rng, np.full((runs, agents), 0.5)), agent, axis=1)
    else:
        arms = tossed(rng, shares)
    outcomes = tossed(rng, np.take_along_axis(ability, agent, axis=1))
    return Batch(shares, arms, outcomes, units=agent if by_agent else None)


def per_unit(batch: Batch) -> Batch:
    """Return one record per randomised unit: its mean outcome, the overall mean if it had no task."""
    assert batch.units is not None
    number = int(batch.units.max()) + 1
    members = batch.units[:, :, None] == np.arange(number)
    count = members.sum(axis=1)
    total = (members * batch.outcomes[:, :, None]).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), batch.outcomes.mean(axis=1, keepdims=True))
    arms = (members * batch.arms[:, :, None]).max(axis=1)
    return Batch(np.full(arms.shape, 0.5), arms, mean)


def unlike_types(rng: np.random.Generator, runs: int, tasks: int, logit_gain: float) -> Batch:
    """Return five task types of success 0.35 … 0.97, known before the arm, all better by `logit_gain`."""
    strata = rng.integers(0, len(TYPE_RATES), (runs, tasks))
    logits = np.log(np.array(TYPE_RATES) / (1.0 - np.array(TYPE_RATES)))[strata]
    shares = np.full((runs, tasks), 0.5)
    arms = tossed(rng, shares)
    return Batch(shares, arms, tossed(rng, 1.0 / (1.0 + np.exp(-logits - logit_gain * arms))), strata)


def pareto_costs(rng: np.random.Generator, runs: int, tasks: int, factor: float) -> Batch:
    """Return costs with infinite variance (Pareto, shape 1.2, from 1), times `factor` in treatment."""
    shares = np.full((runs, tasks), 0.5)
    arms = tossed(rng, shares)
    costs = 1.0 + rng.pareto(PARETO_SHAPE, (runs, tasks))
    return Batch(shares, arms, costs * np.where(arms == 1.0, factor, 1.0))
