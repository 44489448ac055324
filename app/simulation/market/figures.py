"""The figures of one run of the simulated market, and their mean over seeds.

Stands after a run. A requester's utility of a task is V − pay on success and −F on failure; a stake that a
failing winner loses stays in the market (the treasury) and is counted back, and `utility_without_stakes` says
what is left if it is not. It never looks at a platform.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from app.simulation.market.drive import NOBODY, Trace
from app.simulation.market.population import FAILURE_LOSS, VALUE, Floats

STAR_WINDOW_TASKS = 50
STAR_SHARE = 0.3
TOP = 3
LAST_TASKS = 1_000
AFTER_DRIFT_TASKS = 500
FIRST_TASKS = 500


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run shows; shares and rates lie in 0 … 1, money is in credits of the simulation.

    `star_tasks` is the number of tasks from its birth until the star wins 30 % of what it bids on, over 50
    tasks; None if it never did. Settled is the second quarter of the run.
    """

    utility: float
    utility_without_stakes: float
    liars_jobs: float
    liars_jobs_last: float
    early: float
    settled: float
    after_drift: float
    last: float
    paid: float
    star_tasks: float | None
    top_share: float
    driven_out: float
    liars_out: float
    liars_profit: float
    names_per_liar: float
    unproven: float
    deviant_profit: float | None


def figures_of(trace: Trace) -> Figures:
    """Count one run."""
    of = trace.population
    done = trace.winner != NOBODY
    liars = np.flatnonzero(of.is_liar & (of.born < of.tasks))
    is_liars = np.isin(trace.winner, liars)
    settled = slice(of.tasks // 4, of.drift_at)
    after = slice(of.drift_at, of.drift_at + AFTER_DRIFT_TASKS)
    last = slice(max(0, of.tasks - LAST_TASKS), of.tasks)
    gained = np.where(trace.success, VALUE - trace.paid, -FAILURE_LOSS)
    jobs = np.bincount(trace.winner[done], minlength=of.agents)
    deviant = trace.setting.deviant
    return Figures(
        utility=float((gained + trace.lost).sum() / trace.best.sum()),
        utility_without_stakes=float(gained.sum() / trace.best.sum()),
        liars_jobs=float(is_liars[done].mean()),
        liars_jobs_last=float(is_liars[last].mean()),
        early=float(trace.success[:FIRST_TASKS].mean()),
        settled=float(trace.success[settled].mean()),
        after_drift=float(trace.success[after].mean()),
        last=float(trace.success[last].mean()),
        paid=float(trace.paid[settled].sum() / max(int(trace.success[settled].sum()), 1)),
        star_tasks=_star_tasks(trace),
        top_share=float(np.sort(jobs)[-TOP:].sum() / done.sum()),
        driven_out=float(trace.is_out[of.good].mean()) if len(of.good) else 0.0,
        liars_out=float(trace.is_out[liars].mean()) if len(liars) else 0.0,
        liars_profit=float(trace.profit[liars].sum()),
        names_per_liar=float(trace.names[liars].mean()) if len(liars) else 0.0,
        unproven=float(trace.unproven[done].mean()),
        deviant_profit=None if deviant is None else float(trace.profit[of.ranked[deviant]]),
    )


def _star_tasks(trace: Trace) -> float | None:
    of = trace.population
    born = int(of.born[of.star])
    won = (trace.winner == of.star).astype(float)
    bid = of.is_present[:, of.star].astype(float)
    reached = np.flatnonzero(_moving(won)[born:] >= STAR_SHARE * _moving(bid)[born:])
    return float(reached[0] + STAR_WINDOW_TASKS) if len(reached) else None


def _moving(values: Floats) -> Floats:
    return np.convolve(values, np.ones(STAR_WINDOW_TASKS), "valid")


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a figure over seeds with its standard error (0 for one seed)."""

    mean: float
    error: float


def over_seeds(figures: Sequence[Figures]) -> dict[str, Mean | None]:
    """Return each figure's mean and standard error over seeds; the star's is the median, None for never."""
    found: dict[str, Mean | None] = {}
    for name in asdict(figures[0]):
        values = [getattr(one, name) for one in figures]
        if name == "star_tasks":
            middle = float(np.median([np.inf if value is None else value for value in values]))
            found[name] = None if np.isinf(middle) else Mean(middle, 0.0)
        elif None in values:
            found[name] = None
        else:
            spread = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
            found[name] = Mean(float(np.mean(values)), spread)
    return found
