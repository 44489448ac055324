"""The cells of the table: each draws its experiments and lets ours and every peer judge the same ones.

A cell is a function of a random generator and a number of runs; it returns one array per rule, mostly the
tasks at which the rule stopped (`NEVER`: it did not). Cells are run in chunks so that processes can share
them; the draw of a chunk depends on the seed, the cell and the chunk alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np

from tests.benchmarks.statistics import agreement, data, ours, peers, stream

Arrays = dict[str, np.ndarray]

NULL_TASKS = 10_000
SRM_TASKS = 5_000
HARM_TASKS = 4_000
PARETO_TASKS = 2_000
PARETO_EFFECT = 0.1175  # P(0.8·X′ < X) − ½ = ½ − ½·0.8^1.2 of two Pareto costs of shape 1.2
DRIFT_TASKS = 2_000
AGENT_TASKS = 400
AGENTS = 12
TYPE_TASKS = 6_000
VILLE_TASKS = 600
VILLE_RUNS = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """How to draw and judge `runs` experiments; `chunk`: how many at a time; `cap`: tasks of each.

    weight: runs of this cell per run asked for: more where the figure stands close to its line, fewer where
    one run is a stream of 1,000 trials.
    """

    judge: Callable[[np.random.Generator, int], Arrays]
    cap: int
    chunk: int = 50
    weight: float = 1.0

    def runs(self, asked: int) -> int:
        """Return the runs of this cell when `asked` are asked for."""
        return max(1, round(asked * self.weight))


def null(rng: np.random.Generator, runs: int, *, rate: float, effect: float) -> Arrays:
    """No effect at a constant rate: whoever promotes is wrong."""
    batch = data.two_rates(rng, runs, NULL_TASKS, rate, rate)
    plan = ours.stated(rate, rate + effect)
    return {
        "default": ours.stops(ours.DEFAULT, batch),
        "stated": ours.stops(plan, batch),
        **_two_rate_peers(batch),
    }


def speed(rng: np.random.Generator, runs: int, *, control: float, treatment: float, tasks: int) -> Arrays:
    """A true improvement at constant rates: how soon it is found."""
    batch = data.two_rates(rng, runs, tasks, control, treatment)
    found = {
        "default": ours.stops(ours.DEFAULT, batch),
        "stated": ours.stops(ours.stated(control, treatment), batch),
        "oracle": peers.oracle(batch, control, treatment),
        **_two_rate_peers(batch),
    }
    if tasks <= data.SLOW_FAILURE_TASKS:
        few = data.Batch(
            *[column[:VILLE_RUNS, :VILLE_TASKS] for column in (batch.shares, batch.arms, batch.outcomes)]
        )
        by_ville = agreement.ville_stops(few)
        if by_ville is not None:
            found["ville"] = by_ville
    return found


def _two_rate_peers(batch: data.Batch) -> Arrays:
    totals = peers.totals_of(batch)
    return {
        "naive": peers.naive(totals),
        "bayes": peers.bayes(totals),
        "growthbook": peers.growthbook(totals),
        "msprt": peers.msprt(totals),
        "sequence": peers.one_sided_sequence(totals),
        "safe": peers.safe_two_by_two(batch, totals),
    }


def ramp_and_drift(rng: np.random.Generator, runs: int) -> Arrays:
    """No effect while the platform improves and treatment's share grows."""
    batch = data.ramp_and_drift(rng, runs, DRIFT_TASKS)
    totals = peers.totals_of(batch)
    return {
        "default": ours.stops(ours.DEFAULT, batch),
        "stated": ours.stops(ours.stated(0.6, 0.7), batch),
        "naive": peers.naive(totals),
        "bayes": peers.bayes(totals),
        "growthbook": peers.growthbook(totals),
        "msprt": peers.msprt(totals),
        "sequence": peers.one_sided_sequence(totals),
    }


def slow_failures(rng: np.random.Generator, runs: int) -> Arrays:
    """No effect, but treatment's failures resolve later: assignment order against completion order."""
    assigned, completed = data.slow_failures(rng, runs)
    totals = peers.totals_of(completed)
    return {
        "default": ours.stops(ours.DEFAULT, assigned),
        "stated": ours.stops(ours.stated(0.67, 0.94), assigned),
        "completion order": ours.stops(ours.DEFAULT, completed),
        "naive, completion order": peers.naive(totals),
        "growthbook, completion order": peers.growthbook(totals),
        "msprt, completion order": peers.msprt(totals),
    }


def agents_by_task(rng: np.random.Generator, runs: int) -> Arrays:
    """No effect, unlike agents, the arm drawn per task."""
    batch = data.unlike_agents(rng, runs, AGENT_TASKS, AGENTS, by_agent=False)
    totals = peers.totals_of(batch)
    return {
        "default": ours.stops(ours.DEFAULT, batch),
        "naive": peers.naive(totals),
        "sequence": peers.one_sided_sequence(totals),
    }


def agents_by_agent(rng: np.random.Generator, runs: int) -> Arrays:
    """No effect, unlike agents, the arm drawn per agent: one bet per agent against analysis per task."""
    batch = data.unlike_agents(rng, runs, AGENT_TASKS, AGENTS, by_agent=True)
    totals = peers.totals_of(batch)
    return {
        "default": ours.stops(ours.per_unit_plan(), data.per_unit(batch)),
        "bet per task": ours.stops(ours.DEFAULT, batch),
        "naive": peers.naive(totals),
        "sequence": peers.one_sided_sequence(totals),
    }


def unlike_types(rng: np.random.Generator, runs: int, *, logit_gain: float) -> Arrays:
    """A true improvement over five unlike types, with and without telling the bet the type."""
    batch = data.unlike_types(rng, runs, TYPE_TASKS, logit_gain)
    pooled = data.Batch(batch.shares, batch.arms, batch.outcomes)
    return {"stratified": ours.stops(ours.DEFAULT, batch), "pooled": ours.stops(ours.DEFAULT, pooled)}


def pareto(rng: np.random.Generator, runs: int, *, factor: float) -> Arrays:
    """Costs without a variance, times `factor` in treatment: ranks against means."""
    batch = data.pareto_costs(rng, runs, PARETO_TASKS, factor)
    lower_is_better = data.Batch(batch.shares, batch.arms, -batch.outcomes)
    totals = peers.totals_of(lower_is_better)
    return {
        "default": ours.stops(ours.ranked(), batch),
        "stated": ours.stops(ours.ranked(PARETO_EFFECT), batch),
        "naive": peers.naive_means(totals),
        "sequence": peers.one_sided_sequence(totals),
    }


def harm(rng: np.random.Generator, runs: int) -> Arrays:
    """A change that does harm, 0.90 → 0.75: when it is seen."""
    batch = data.two_rates(rng, runs, HARM_TASKS, 0.90, 0.75)
    return {"default": ours.stops(ours.DEFAULT, batch, ours.harms_at)}


def shares_as_promised(rng: np.random.Generator, runs: int) -> Arrays:
    """Equal shares promised and kept: every alarm is false."""
    return _shares(rng, runs, 0.5)


def shares_broken(rng: np.random.Generator, runs: int) -> Arrays:
    """Equal shares promised, 45/55 in truth: when it is seen."""
    return _shares(rng, runs, 0.45)


def _shares(rng: np.random.Generator, runs: int, real: float) -> Arrays:
    batch = data.two_rates(rng, runs, SRM_TASKS, 0.7, 0.7, real=real)
    return {
        "default": ours.stops(ours.DEFAULT, batch, ours.mismatches_at),
        "chi square": peers.chi_square(peers.totals_of(batch)),
    }


def streams(rng: np.random.Generator, runs: int) -> Arrays:
    """The stream of 1,000 experiments, once per run."""
    found = [stream.one_stream(rng) for _ in range(runs)]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def checks(rng: np.random.Generator, runs: int) -> Arrays:
    """Largest differences: columns against the fold, closed forms against the installed packages."""
    rates = data.two_rates(rng, runs, 2_000, 0.67, 0.94)
    kinds = (
        (ours.DEFAULT, rates),
        (ours.stated(0.67, 0.94), rates),
        (ours.DEFAULT, data.ramp_and_drift(rng, runs, DRIFT_TASKS)),
        (ours.DEFAULT, data.unlike_types(rng, runs, DRIFT_TASKS, 0.5)),
        (ours.ranked(PARETO_EFFECT), data.pareto_costs(rng, runs, 500, 0.8)),
    )
    found = {"fold": np.array([ours.fold_difference(plan, batch, 0) for plan, batch in kinds])}
    found["gbstats"] = _known(agreement.growthbook_difference(rates))
    found["statsmodels"] = _known(agreement.statsmodels_difference(rates))
    return found


def _known(difference: float | None) -> np.ndarray:
    return np.array([] if difference is None else [difference])


CELLS = {
    "null 0.67": Cell(partial(null, rate=0.67, effect=0.27), NULL_TASKS),
    "null 0.90": Cell(partial(null, rate=0.90, effect=0.03), NULL_TASKS),
    "0.67 to 0.94": Cell(partial(speed, control=0.67, treatment=0.94, tasks=2_000), 2_000, weight=2.0),
    "0.65 to 0.75": Cell(partial(speed, control=0.65, treatment=0.75, tasks=10_000), 10_000, weight=2.0),
    "0.90 to 0.93": Cell(partial(speed, control=0.90, treatment=0.93, tasks=10_000), 10_000, weight=2.0),
    "ramp and drift": Cell(ramp_and_drift, DRIFT_TASKS),
    "slow failures": Cell(slow_failures, data.SLOW_FAILURE_TASKS),
    "agents by task": Cell(agents_by_task, AGENT_TASKS),
    "agents by agent": Cell(agents_by_agent, AGENT_TASKS),
    "types, large": Cell(partial(unlike_types, logit_gain=1.0), TYPE_TASKS),
    "types, small": Cell(partial(unlike_types, logit_gain=0.5), TYPE_TASKS),
    "pareto 0.8": Cell(partial(pareto, factor=0.8), PARETO_TASKS),
    "pareto null": Cell(partial(pareto, factor=1.0), PARETO_TASKS),
    "harm": Cell(harm, HARM_TASKS),
    "shares kept": Cell(shares_as_promised, SRM_TASKS, weight=4.0),
    "shares broken": Cell(shares_broken, SRM_TASKS),
    "stream": Cell(streams, stream.TRIAL_TASKS, chunk=1, weight=1 / 40),
    "checks": Cell(checks, 2_000, chunk=10, weight=1 / 200),
}


def run_chunk(name: str, seed: int, chunk: int, runs: int) -> Arrays:
    """Return one chunk of a cell; the same arguments give the same arrays in any process."""
    key = (crc32(name.encode()), chunk)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    return CELLS[name].judge(rng, runs)
