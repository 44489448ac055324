"""The endless stream: many experiments one after another, one in ten truly better, promoted by each rule.

Ours: a trial at equal shares, provisional at E ≥ 20; probation with 85 % on the new value while later trials
run; confirmed at the level α_j that was drawn when the trial began (asynchronous LORD++). Clock: tasks. The
peers judge the very same trials.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from services.domain.sequential import BetPlan, BetState, Verdict, replay, start_probation
from services.domain.stream import StreamRule, next_level
from tests.benchmarks.statistics import ours, peers
from tests.benchmarks.statistics.data import Batch, tossed

EXPERIMENTS = 1_000
TRUE_SHARE = 0.10
BASES = (0.60, 0.92)
GAINS = (0.15, 1.2)  # log-odds of a true improvement
TRIAL_TASKS = 1_000
PROBATION_TASKS = 3_000
PROBATION_SHARE = 0.85
FALSE_SHARE = 0.05
ROWS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Trials:
    """A stream as drawn: both rates per experiment, whether it truly helps, and its tasks at equal shares."""

    control: np.ndarray
    treatment: np.ndarray
    is_true: np.ndarray
    batch: Batch


@dataclass(slots=True)
class Clock:
    """What is known when: starts of trials and confirmations, in tasks since the stream began."""

    now: int = 0
    starts: list[int] = field(default_factory=list)
    confirmations: list[int] = field(default_factory=list)

    def known(self) -> list[int]:
        """Return, per confirmation known now, how many trials before the one that begins had begun then."""
        return [
            int(np.searchsorted(self.starts[:-1], at, side="right"))
            for at in sorted(self.confirmations)
            if at <= self.now
        ]


def draw(rng: np.random.Generator, experiments: int) -> Trials:
    """Return a stream of experiments; a null has exactly the same rate in both arms."""
    control = rng.uniform(*BASES, experiments)
    is_true = rng.random(experiments) < TRUE_SHARE
    gain = np.where(is_true, rng.uniform(*GAINS, experiments), 0.0)
    treatment = 1.0 / (1.0 + (1.0 / control - 1.0) * np.exp(-gain))
    return Trials(control, treatment, is_true, _tasks(rng, control, treatment, 0.5, TRIAL_TASKS))


def _tasks(
    rng: np.random.Generator, control: np.ndarray, treatment: np.ndarray, share: float, tasks: int
) -> Batch:
    shares = np.full((len(control), tasks), share)
    arms = tossed(rng, shares)
    return Batch(shares, arms, tossed(rng, np.where(arms == 1.0, treatment[:, None], control[:, None])))


def one_stream(rng: np.random.Generator, experiments: int = EXPERIMENTS) -> dict[str, np.ndarray]:
    """Return false share and power of each rule over one stream, and tasks to each step (one value each)."""
    trials = draw(rng, experiments)
    batch = trials.batch
    plan = replace(ours.DEFAULT, cap_tasks=TRIAL_TASKS)
    e_log = np.array([ours.paths_of(plan, batch, run).e_log for run in range(batch.runs)])
    chunks = [
        Batch(batch.shares[at : at + ROWS_AT_ONCE], batch.arms[at : at + ROWS_AT_ONCE],
              batch.outcomes[at : at + ROWS_AT_ONCE])
        for at in range(0, batch.runs, ROWS_AT_ONCE)
    ]  # fmt: skip
    totals = [peers.totals_of(chunk) for chunk in chunks]
    found = {
        "naive": np.concatenate([peers.naive(chunk) for chunk in totals]) != peers.NEVER,
        "bayes": np.concatenate([peers.bayes(chunk) for chunk in totals]) != peers.NEVER,
        "uncorrected": e_log.max(axis=1) >= -math.log(plan.alpha),
        "lord alone": lord_alone(e_log),
    }
    provisional_at, confirmed_at = with_probation(rng, plan, trials, e_log)
    found["provisional"] = provisional_at != peers.NEVER
    found["confirmed"] = confirmed_at != peers.NEVER
    figures = {}
    for rule, is_promoted in found.items():
        false_share, power = judged(is_promoted, trials.is_true)
        figures[f"{rule}: false share"] = np.array([false_share])
        figures[f"{rule}: power"] = np.array([power])
    figures["tasks to provisional"] = provisional_at[trials.is_true & found["provisional"]]
    figures["tasks to confirmed"] = confirmed_at[trials.is_true & found["confirmed"]]
    return figures


def judged(is_promoted: np.ndarray, is_true: np.ndarray) -> tuple[float, float]:
    """Return the share of promotions that are false (0 without promotions) and of true changes promoted."""
    false_share = float((is_promoted & ~is_true).sum() / max(1, is_promoted.sum()))
    return false_share, float((is_promoted & is_true).sum() / max(1, is_true.sum()))


def lord_alone(e_log: np.ndarray) -> np.ndarray:
    """Return which trials promote when E must reach 1/α_j within the trial itself (shape: experiments)."""
    known: list[int] = []
    is_promoted = np.zeros(len(e_log), dtype=bool)
    for number, highest in enumerate(e_log.max(axis=1)):
        level = next_level(StreamRule.LORD, FALSE_SHARE, number + 1, known)
        if highest >= -math.log(level):
            is_promoted[number] = True
            known.append(number + 1)
    return is_promoted


def with_probation(
    rng: np.random.Generator, plan: BetPlan, trials: Trials, e_log: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tasks to provisional and to confirmed of each experiment, NEVER if it does not get there."""
    provisional, confirmed = np.zeros((2, len(e_log)), dtype=np.int64)
    clock = Clock()
    for number, path in enumerate(e_log):
        clock.starts.append(clock.now)
        level = next_level(StreamRule.LORD, FALSE_SHARE, number + 1, clock.known())
        trial_tasks = TRIAL_TASKS
        if path.max() >= -math.log(plan.alpha):
            trial = replay(plan, ours.records_of(trials.batch, number))
            trial_tasks = trial.state.next_ordinal
            if trial.decision.verdict is Verdict.WIN:
                provisional[number] = trial_tasks
                rates = trials.control[number : number + 1], trials.treatment[number : number + 1]
                tasks = probation(rng, plan, trial.state, level, rates)
                if tasks != peers.NEVER:
                    confirmed[number] = trial_tasks + tasks
                    clock.confirmations.append(clock.now + trial_tasks + tasks)
        clock.now += trial_tasks
    return provisional, confirmed


def probation(
    rng: np.random.Generator,
    plan: BetPlan,
    state: BetState,
    level: float,
    rates: tuple[np.ndarray, np.ndarray],
) -> int:
    """Return the tasks of probation until the change is confirmed at `level`, NEVER if it is rolled back."""
    later, carried = start_probation(
        plan, state, alpha=level, share=PROBATION_SHARE, cap_tasks=PROBATION_TASKS
    )
    batch = _tasks(rng, *rates, PROBATION_SHARE, PROBATION_TASKS)
    found = replay(later, ours.records_of(batch, 0), carried)
    return found.state.next_ordinal if found.decision.verdict is Verdict.WIN else peers.NEVER
