"""Who is in the simulated market and what is true of them: drawn once per seed, alike for every rule.

Stands under every run of the simulated market. Fifty agents from the start and a newcomer every hundred
tasks, five kinds of work, a fifth of all agents liars; half way the five best honest agents of the start go
bad. Who is there for a task, who is quick, and whose work would succeed are drawn per task and agent, so that
rules meet the same tasks, bidders and coins (common random numbers). It knows no platform and no rule.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VALUE = 10.0
"""Reserve price of a task, in credits of the simulation; a success is worth this to the requester."""
FAILURE_LOSS = 2.0
"""What a failure costs the requester, in the same credits."""
HIGHEST_ASK = 9.0
KINDS = 5
INCUMBENTS = 50
NEWCOMER_EVERY_TASKS = 100
LIAR_SHARE = 0.2
LIAR_ASK = 1.0
LIAR_COST = 0.1
LIAR_SUCCESS = (0.15, 0.35)
LIAR_QUICKNESS = 3.0
PRESENT_SHARE = 0.6
STAR_AT_TASK = 500
STAR_SUCCESS = 0.97
STAR_COST = 1.8
DRIFTING = 5
SUCCESS_AFTER_DRIFT = 0.25
BELIEF_ERROR = 0.05

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Population:
    """The truth of one seed; n agents, K kinds of work, T tasks.

    `born` (n) is the task at which an agent joins. `success` and `success_after` (n, K) are chances before
    and after the drift at task `drift_at`, `believed` (n, K) what an agent thinks of its own chance, `cost`
    (n, K) what one job costs it. `kind` (T), `is_present` (T, n), `coin` (T, n; a job succeeds where coin <
    chance) and `delay` (T, n; the quicker bid first). `ranked` are the agents of the start by true worth,
    honest ones first.
    """

    seed: int
    born: Numbers
    is_liar: Flags
    success: Floats
    success_after: Floats
    believed: Floats
    cost: Floats
    kind: Numbers
    is_present: Flags
    coin: Floats
    delay: Floats
    drift_at: int
    star: int
    ranked: Numbers

    @property
    def agents(self) -> int:
        """Return how many agents there are in all."""
        return len(self.born)

    @property
    def tasks(self) -> int:
        """Return how many tasks there are."""
        return len(self.kind)

    def success_at(self, task: int) -> Floats:
        """Return the true chances (n, K) when this task is worked on."""
        return self.success if task < self.drift_at else self.success_after

    @property
    def worth(self) -> Floats:
        """Return what a job by each agent is worth at cost (n, K): p·(V + F) − c − F."""
        return self.success * (VALUE + FAILURE_LOSS) - self.cost - FAILURE_LOSS

    @property
    def good(self) -> Numbers:
        """Return the honest agents above the honest median in worth that do not drift."""
        worth = self.worth.mean(1)
        is_good = ~self.is_liar & (worth > np.median(worth[~self.is_liar]))
        is_good[self.ranked[:DRIFTING]] = False
        return np.flatnonzero(is_good)


def draw_population(seed: int, tasks: int) -> Population:
    """Draw the market of a seed over so many tasks (at least 200: a star has to be born)."""
    rng = np.random.default_rng(seed)
    agents = INCUMBENTS + tasks // NEWCOMER_EVERY_TASKS
    born = np.concatenate(
        [np.zeros(INCUMBENTS, int), NEWCOMER_EVERY_TASKS * np.arange(1, agents - INCUMBENTS + 1)]
    )
    is_liar = rng.random(agents) < LIAR_SHARE
    level = rng.normal(0.4, 0.8, (agents, 1))
    success = 1.0 / (1.0 + np.exp(-(level + rng.normal(0.0, 0.8, (agents, KINDS)))))
    cost = np.exp(rng.normal(np.log(2.2), 0.35, (agents, KINDS))) * (0.7 + 0.6 * success)
    star = INCUMBENTS + min(STAR_AT_TASK, tasks // 2) // NEWCOMER_EVERY_TASKS - 1
    is_liar[star] = False
    success[star], cost[star] = STAR_SUCCESS, STAR_COST
    success[is_liar] = rng.uniform(*LIAR_SUCCESS, (int(is_liar.sum()), KINDS))
    cost[is_liar] = LIAR_COST
    worth = (success * (VALUE + FAILURE_LOSS) - cost - FAILURE_LOSS)[:INCUMBENTS].mean(1)
    ranked = np.argsort(-worth + 99.0 * is_liar[:INCUMBENTS])
    after = success.copy()
    after[ranked[:DRIFTING]] = SUCCESS_AFTER_DRIFT
    believed = np.clip(success + rng.normal(0.0, BELIEF_ERROR, (agents, KINDS)), 0.05, 0.99)
    kind = rng.integers(0, KINDS, tasks)
    is_present = rng.random((tasks, agents)) < PRESENT_SHARE
    coin = rng.random((tasks, agents))
    delay = rng.exponential(1.0, (tasks, agents)) / np.where(is_liar, LIAR_QUICKNESS, 1.0)
    return Population(
        seed, born, is_liar, success, after, believed, cost, kind, is_present, coin, delay,
        tasks // 2, star, ranked,
    )  # fmt: skip
