"""Samples of the named models, by numpy, from a seed. Used by the tool and, with another seed, by the
verifier. It never estimates nor judges.
"""

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.tasks.monte_carlo.declaration import (
    AsianOption,
    EuropeanOption,
    GaussianIntegral,
    Model,
    SystemReliability,
)

Values: TypeAlias = NDArray[np.float64]
CHUNK_DRAWS = 400_000


def sampled(model: Model, seed: int, samples: int, before_chunk: Callable[[], None] | None = None) -> Values:
    """`samples` independent values whose mean is the wanted expectation; `before_chunk` may raise to stop."""
    generator = np.random.Generator(np.random.PCG64(seed))
    chunks = []
    for size in _chunk_sizes(samples, model.dimension):
        if before_chunk is not None:
            before_chunk()
        chunks.append(_values(model, generator, size))
    return np.concatenate(chunks)


def _chunk_sizes(samples: int, dimension: int) -> Iterator[int]:
    chunk = max(1, CHUNK_DRAWS // dimension)
    for start in range(0, samples, chunk):
        yield min(chunk, samples - start)


def _values(model: Model, generator: np.random.Generator, size: int) -> Values:
    if isinstance(model, EuropeanOption):
        return _european(model, generator, size)
    if isinstance(model, AsianOption):
        return _asian(model, generator, size)
    if isinstance(model, SystemReliability):
        return _reliability(model, generator, size)
    if isinstance(model, GaussianIntegral):
        points = generator.random((size, model.dimensions))
        return np.asarray(np.exp(-np.einsum("ij,ij->i", points, points)), dtype=np.float64)
    points = generator.random((size, 2))
    return np.where(np.einsum("ij,ij->i", points, points) <= 1.0, 4.0, 0.0)


def _european(model: EuropeanOption, generator: np.random.Generator, size: int) -> Values:
    spread = model.volatility_per_root_year * math.sqrt(model.maturity_years)
    drift = model.rate_per_year * model.maturity_years - 0.5 * spread**2
    final = model.spot * np.exp(drift + spread * generator.standard_normal(size))
    gain = final - model.strike if model.kind == "call" else model.strike - final
    return np.asarray(math.exp(-model.rate_per_year * model.maturity_years) * np.maximum(gain, 0.0))


def _asian(model: AsianOption, generator: np.random.Generator, size: int) -> Values:
    step = model.maturity_years / model.steps
    spread = model.volatility_per_root_year * math.sqrt(step)
    moves = generator.standard_normal((size, model.steps)) * spread
    moves += model.rate_per_year * step - 0.5 * spread**2
    average = model.spot * np.exp(np.cumsum(moves, axis=1)).mean(axis=1)
    discount = math.exp(-model.rate_per_year * model.maturity_years)
    return np.asarray(discount * np.maximum(average - model.strike, 0.0))


def _reliability(model: SystemReliability, generator: np.random.Generator, size: int) -> Values:
    is_working = np.ones(size, dtype=np.bool_)
    for block in model.blocks:
        up = generator.random((size, block.components)) < block.component_reliability
        is_working &= up.sum(axis=1) >= block.needed
    return is_working.astype(np.float64)
