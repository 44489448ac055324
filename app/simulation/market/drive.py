"""One run of the simulated market: the agents against a marketplace, step by step, and the trace of it.

Stands over agents and marketplace, under the figures. A step is a few tasks that are posted together; what
they teach is known from the next step on. It never counts figures: the trace is what happened, task by task.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.simulation.market.agents import Agents
from app.simulation.market.marketplace import Marketplace, Offer
from app.simulation.market.population import (
    FAILURE_LOSS,
    VALUE,
    Flags,
    Floats,
    Numbers,
    Population,
)
from app.simulation.market.settings import CREDIT_MICROCREDITS, Setting

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened: per task who won (or NOBODY), whether it succeeded, what was paid and lost (credits).

    `best` is what a planner that knows every bidder's chance and cost would have gained, `bid_count` how many
    bid. Per agent: `profit` in credits (pay − cost − stakes lost), `names` used, `is_out` at the end.
    `unproven` tells whether the award went to an unproven agent; `bought` counts made-up tasks.
    """

    population: Population
    setting: Setting
    winner: Numbers
    success: Flags
    paid: Floats
    lost: Floats
    best: Floats
    bid_count: Numbers
    unproven: Flags
    profit: Floats
    names: Numbers
    is_out: Flags
    bought: int


def run_market(
    population: Population,
    setting: Setting,
    market: Marketplace,
    after_step: Callable[[int], None] | None = None,
) -> Trace:
    """Run the whole population through a market; `after_step` is told how many tasks are done."""
    agents = Agents(population, setting, market)
    if agents.deviant is not None:
        agents.is_out[agents.deviant] = False
    total = population.tasks
    winner = np.full(total, NOBODY)
    success, unproven = np.zeros(total, bool), np.zeros(total, bool)
    paid, lost, best = np.zeros(total), np.zeros(total), np.zeros(total)
    bid_count = np.zeros(total, int)
    profit = np.zeros(population.agents)
    for start in range(0, total, setting.tasks_per_step):
        tasks = range(start, min(start + setting.tasks_per_step, total))
        agents.arrive(tasks)
        agents.look_around()
        agents.come_back()
        agents.buy()
        offers: list[Offer] = []
        for task in tasks:
            bidders = agents.bidders(task)
            bid_count[task] = len(bidders)
            best[task] = best_gain(population, task, bidders)
            offers.append(agents.offer(task, bidders))
        for task, deal in zip(tasks, market.trade(offers), strict=True):
            agent = agents.learn(deal)
            if agent is None:
                continue
            winner[task], success[task], unproven[task] = agent, deal.is_verified, deal.is_unproven
            paid[task] = deal.paid_microcredits / CREDIT_MICROCREDITS
            lost[task] = deal.lost_microcredits / CREDIT_MICROCREDITS
            profit[agent] += paid[task] - lost[task] - population.cost[agent, population.kind[task]]
        if after_step is not None:
            after_step(tasks.stop)
    agents.look_around()
    names = np.array(
        [agents.members[n].names if n in agents.members else 0 for n in range(population.agents)]
    )
    return Trace(
        population, setting, winner, success, paid, lost, best, bid_count, unproven, profit, names,
        agents.is_out, agents.bought,
    )  # fmt: skip


def best_gain(population: Population, task: int, bidders: list[int]) -> float:
    """Return p·(V + F) − c − F of the best bidder, at least 0: the knowing oracle that pays cost."""
    if not bidders:
        return 0.0
    kind = population.kind[task]
    chance, cost = population.success_at(task)[bidders, kind], population.cost[bidders, kind]
    return max(0.0, float((chance * (VALUE + FAILURE_LOSS) - cost - FAILURE_LOSS).max()))
