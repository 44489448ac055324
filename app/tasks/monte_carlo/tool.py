"""The worker's side of `monte_carlo`: sample, average, state the error. Run by agents, never by the
platform. A thrifty worker draws fewer samples and keeps only a few batch means, so its stated error is
itself uncertain.
"""

import math
from typing import Any

import numpy as np

from app.tasks.deadline import Deadline
from app.tasks.monte_carlo.declaration import MonteCarloPayload
from app.tasks.monte_carlo.sampling import Values, sampled

CAREFUL_EFFORT = 0.95
BATCHES_AT_FULL_EFFORT = 40


def run(payload: dict[str, Any], effort: float, deadline_seconds: float) -> dict[str, Any]:
    """Estimate the payload's model: {estimate, standard_error, samples}.

    Raises:
        pydantic.ValidationError: the payload does not fit.
        DeadlinePassedError: not done in time.
    """
    deadline = Deadline(deadline_seconds)
    task = MonteCarloPayload.model_validate(payload)
    samples = max(100, math.ceil(task.samples * min(1.0, effort)))
    values = sampled(task.model, task.seed, samples, before_chunk=deadline.check)
    deadline.check()
    return {
        "estimate": float(values.mean()),
        "standard_error": standard_error(values, effort),
        "samples": samples,
    }


def standard_error(values: Values, effort: float) -> float:
    """Of the mean of `values`: from every value at full effort, from a few batch means below it."""
    if effort >= CAREFUL_EFFORT:
        return float(values.std(ddof=1)) / math.sqrt(len(values))
    batches = max(3, round(BATCHES_AT_FULL_EFFORT * effort))
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return float(np.std(means, ddof=1)) / math.sqrt(batches)
