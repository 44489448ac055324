"""The scenarios: what is true, who acts, what is counted; one table, each line a small world of its own.

Stands behind `nacre simulate`. Every figure of a scenario is here: kinds of work, success rates, the truth
about proposed changes, traffic and the platform's starting values. Whatever is drawn is drawn from the seed.
It never touches a platform.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.simulation.environment import Trend, logit
from app.simulation.proposers import Idea
from app.simulation.task_types import DIALS, TIMEOUT, dial_name

LAPS = "laps"
PROPOSALS = "proposals"

COMMON_VALUES: Mapping[str, str] = {
    "market.lease_grace_seconds": "60",
    "market.start_window_seconds": "600",
    "market.maximum_attempts": "1",
    "market.stake_percent": "0",
    "consensus.minimum_period_seconds": "1",
    "consensus.voting_period_seconds": "3600",
    "consensus.cool_off_seconds": "1",
    "consensus.filings_per_day": "10000",
    "sandbox.maximum_wait_seconds": "900",
    "sandbox.minimum_cycle_seconds": "0",
    "investigation.timeout_seconds": "3600",
    "investigation.deadline_seconds": "600",
    "observatory.line_minimum_tasks": "24",
    "observatory.cool_down_seconds": "1",
    "observatory.watch_counts": "0",
    "observatory.watch_gauges": "0",
    "observatory.recovery_seconds": "60",
}
STREAM_BASES = (0.60, 0.92)
STREAM_GAIN_LOG_ODDS = (0.15, 1.2)
STREAM_BETTER_SHARE = 0.10
CLAIMED_GAINS = (0.05, 0.20)
CLAIM_SPREAD = 0.3
"""Standard deviation of the logarithm of claimed over true gain: agents do not know what they will find."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario. `bases` are the success rates of its kinds of work; `ideas` draws what is proposed.

    `tasks_per_step` are posted per kind and step of `step_seconds`; `counted` says what `count` is of: laps
    (proposals come from investigations of anomalies) or proposals (agents file as soon as they may, after
    `warm_up_seconds`, in which they see how the work goes).
    """

    name: str
    summary: str
    counted: str
    count: int
    bases: tuple[float, ...]
    ideas: Callable[[random.Random, Sequence[float]], Iterator[Idea]]
    cap_tasks: int
    tasks_per_step: int = 12
    step_seconds: float = 10.0
    workers: int = 4
    bidders: int = 1
    warm_up_seconds: float = 60.0
    ability_sd: float = 0.0
    trend: Trend | None = None
    is_failing_slowly: bool = False
    suffixes: tuple[str, ...] = tuple(dial_name(number) for number in range(DIALS))
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def starting_values(self) -> dict[str, str]:
        """Return the platform's starting values, on top of the demonstration's."""
        window = {"market.bid_window_seconds": f"{self.step_seconds * 0.9:g}"}
        quiet = {} if self.counted == LAPS else {"observatory.success_line_percent": "1"}
        return {**COMMON_VALUES, **window, **quiet, **self.values}

    @property
    def intervals_seconds(self) -> dict[str, float]:
        """Return how often the jobs run: awards at every step, the rest as often as the traffic asks for."""
        step = self.step_seconds
        return {
            "auto_accept_bids": step,
            "platform_metrics_snapshot": 2 * step if self.counted == LAPS else 60 * step,
            "lease_expiry": 60 * step,
            "vote_tally": 30 * step,
            "experiment_evaluation": 10 * step,
            "agent_autonomy_scan": 360 * step,
            "market_watchdog": 3600 * step,
            "books_audit": 3600 * step,
            "metric_watchdog": 3600 * step,
            "history_pruning": 3600 * step,
        }

    def with_count(self, count: int | None) -> "Scenario":
        """Return the scenario over another number of laps or proposals, with no more kinds than those."""
        if count is None:
            return self
        return replace(self, count=count, bases=self.bases[: max(1, min(count, len(self.bases)))])


def useless(rng: random.Random, _bases: Sequence[float]) -> Iterator[Idea]:
    """Yield ideas that do nothing, each claimed to gain 5 to 20 points."""
    while True:
        yield Idea(rng.uniform(*CLAIMED_GAINS), 0.0)


def one_in_ten(rng: random.Random, _bases: Sequence[float]) -> Iterator[Idea]:
    """Yield ideas of which 10 % add 0.15 to 1.2 to the log-odds; all claim such a gain, give or take."""
    while True:
        is_better = rng.random() < STREAM_BETTER_SHARE
        gain = rng.uniform(*STREAM_GAIN_LOG_ODDS)
        claimed = gain * math.exp(rng.gauss(0.0, CLAIM_SPREAD))
        yield Idea(0.0, gain if is_better else 0.0, claimed)


def harmful(rng: random.Random, _bases: Sequence[float]) -> Iterator[Idea]:
    """Yield ideas that take success from 0.90 to 0.75, each claimed to gain something."""
    while True:
        yield Idea(rng.uniform(0.05, 0.09), logit(0.75) - logit(0.90))


def spread(low: float, high: float, kinds: int) -> tuple[float, ...]:
    """Return evenly spread success rates, so that a stream's baselines are uniform."""
    return tuple(round(low + (high - low) * (place + 0.5) / kinds, 4) for place in range(kinds))


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "null", "no parameter does anything; anomalies keep opening laps",
            LAPS, 100, (0.62,) * 12, useless, cap_tasks=600,
        ),
        Scenario(
            "stream", "proposals of which 10 % are truly better, in 20 kinds of work",
            PROPOSALS, 1000, spread(*STREAM_BASES, 20), one_in_ten, cap_tasks=1000, tasks_per_step=10,
            values={"sandbox.placebo_tasks": "0"},
        ),
        Scenario(
            "drift", "useless changes while success drifts from 60 to 90 % and the share ramps",
            PROPOSALS, 100, (0.60,) * 12, useless, cap_tasks=600, trend=Trend(0.60, 0.90, 400.0),
            values={"sandbox.ramp_tasks": "150", "sandbox.placebo_tasks": "0"},
        ),
        Scenario(
            "slow-failure", "longer time limits that cure nothing and make failures resolve later",
            PROPOSALS, 60, (0.67,) * 8, useless, cap_tasks=600, tasks_per_step=5, step_seconds=5.0,
            suffixes=(TIMEOUT,), is_failing_slowly=True, workers=12, warm_up_seconds=400.0,
            values={"sandbox.placebo_tasks": "0"},
        ),
        Scenario(
            "unlike-agents", "useless changes on a fleet of 12 agents of very different ability",
            PROPOSALS, 100, (0.80,) * 12, useless, cap_tasks=600, workers=12, bidders=2, ability_sd=1.0,
            values={"sandbox.placebo_tasks": "0"},
        ),
        Scenario(
            "harm", "changes that take success from 90 to 75 %",
            PROPOSALS, 50, (0.90,) * 10, harmful, cap_tasks=2000, values={"sandbox.placebo_tasks": "0"},
        ),
    )
}  # fmt: skip
