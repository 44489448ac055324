"""Does honesty pay? What one agent earns that asks more or less than its break-even, all others as they are.

Stands beside the runs of the simulated market. The agent is the third best honest one of the start and always
present; its break-even includes the stake that it expects to lose. It never changes what anyone else does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from app.simulation.market.figures import Figures, Mean
from app.simulation.market.settings import Setting

DEVIATIONS = (0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0)
DEVIANT = 2
TASKS = 2_000

RunOne = Callable[[Setting, int], Figures]


def profits(setting: Setting, seeds: Sequence[int], run_one: RunOne) -> dict[float, Mean]:
    """Return the deviant's mean profit over seeds, in credits of the simulation, by its deviation."""
    found = {}
    for deviation in DEVIATIONS:
        tried = replace(setting, deviant=DEVIANT, deviation=deviation, tasks=TASKS)
        values = [run_one(tried, seed).deviant_profit or 0.0 for seed in seeds]
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        found[deviation] = Mean(float(np.mean(values)), error)
    return found
