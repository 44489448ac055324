"""The confidence sequence covers the gap and mirrors with the arms."""

import random
from collections.abc import Iterator

import pytest

from services.domain.sequential import (
    BetPlan,
    PlanRefusedError,
    Record,
    confidence_sequence,
)


def stream(seed: int, tasks: int, control: float, treatment: float, share: float = 0.5) -> Iterator[Record]:
    """Yield Bernoulli tasks in assignment order."""
    rng = random.Random(seed)
    for ordinal in range(tasks):
        arm = int(rng.random() < share)
        outcome = float(rng.random() < (treatment if arm else control))
        yield Record(ordinal, f"task_{ordinal}", arm, share, outcome)


def test_the_interval_covers_the_gap_and_narrows() -> None:
    plan = BetPlan(effect=0.15, cap_tasks=5_000, base_rate=0.7)
    covered = 0
    for seed in range(150):
        estimate = confidence_sequence(plan, stream(seed, 250, 0.70, 0.85), 0.10)
        assert estimate.lower <= estimate.estimate <= estimate.upper
        covered += estimate.lower <= 0.15 <= estimate.upper
    assert covered / 150 >= 0.88
    short = confidence_sequence(plan, stream(3, 100, 0.70, 0.85), 0.10)
    long = confidence_sequence(plan, stream(3, 3_000, 0.70, 0.85), 0.10)
    assert long.upper - long.lower < 0.5 * (short.upper - short.lower)
    assert 0.0 < long.lower < 0.15 < long.upper
    assert abs(long.estimate - 0.15) < 0.05


def test_the_interval_mirrors_when_the_arms_are_swapped() -> None:
    plan = BetPlan(effect=0.15, cap_tasks=5_000)
    records = list(stream(4, 300, 0.6, 0.8, share=0.3))
    swapped = [Record(r.ordinal, r.unit, 1 - r.arm, 1 - r.share, r.outcome) for r in records]
    there, back = confidence_sequence(plan, records, 0.05), confidence_sequence(plan, swapped, 0.05)
    assert tuple(back) == pytest.approx((-there.estimate, -there.upper, -there.lower))


def test_a_wider_level_gives_a_wider_interval_and_no_record_gives_everything() -> None:
    plan = BetPlan(effect=0.15, cap_tasks=5_000)
    strict = confidence_sequence(plan, stream(4, 300, 0.6, 0.8), 0.01)
    loose = confidence_sequence(plan, stream(4, 300, 0.6, 0.8), 0.20)
    assert strict.lower < loose.lower
    assert strict.upper > loose.upper
    assert confidence_sequence(plan, [], 0.05) == (0.0, -1.0, 1.0)
    with pytest.raises(PlanRefusedError, match="alpha"):
        confidence_sequence(plan, [], 1.0)
