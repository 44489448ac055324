"""Where failures are more than what peers would lead one to expect.

Pure. A cell is (task type or agent) × reason. Its expected failures are its tasks times its peers' rate
for that reason (all other keys of the same dimension together, shrunk by ten pseudo-tasks towards 5 %), or
the rate that the episode's baseline allows when that is lower; what is beyond is the excess. It names
cells; why they fail, and what to do, is for the diagnosis.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.agents.evidence import TaskFact

PRIOR_RATE = 0.05
PRIOR_TASKS = 10


class Dimension(StrEnum):
    """By what tasks are told apart."""

    TASK_TYPE = "task_type"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Cell:
    """Tasks of one key that failed for one reason: how many more than expected, and which."""

    dimension: Dimension
    key: str
    reason: str
    attempts: int
    failures: int
    expected: float
    task_ids: tuple[int, ...]

    @property
    def excess(self) -> float:
        """Failures beyond what was expected."""
        return self.failures - self.expected


KEY_OF: Mapping[Dimension, Callable[[TaskFact], str]] = {
    Dimension.TASK_TYPE: lambda fact: fact.type,
    Dimension.AGENT: lambda fact: "none" if fact.agent_id is None else str(fact.agent_id),
}


def excess_cells(
    facts: Sequence[TaskFact],
    *,
    dimension: str = "platform",
    key: str = "",
    baseline_rate: float | None = None,
) -> list[Cell]:
    """The cells with more failures than expected, largest excess first.

    An episode on one task type or one agent (`dimension`, `key`) looks at that key's tasks only, but still
    compares it with its peers; `baseline_rate` is the success rate before the episode, where it is known.
    """
    allowed = None if baseline_rate is None else 1.0 - baseline_rate
    cells = []
    for one in Dimension:
        looked_at = [fact for fact in facts if one == dimension or _is_within(fact, dimension, key)]
        found = _cells(looked_at, one, allowed)
        cells += [cell for cell in found if one != dimension or cell.key == key]
    return sorted((cell for cell in cells if cell.excess > 0), key=lambda cell: (-cell.excess, cell.key))


def _is_within(fact: TaskFact, dimension: str, key: str) -> bool:
    if dimension not in set(Dimension):
        return True
    return KEY_OF[Dimension(dimension)](fact) == key


def _cells(facts: Sequence[TaskFact], dimension: Dimension, allowed: float | None) -> list[Cell]:
    key_of = KEY_OF[dimension]
    attempts = Counter(key_of(fact) for fact in facts)
    failing: dict[tuple[str, str], list[int]] = defaultdict(list)
    for fact in facts:
        if fact.is_failure:
            failing[key_of(fact), fact.end_reason].append(fact.task_id)
    by_reason = Counter(fact.end_reason for fact in facts if fact.is_failure)
    cells = []
    for (key, reason), ids in failing.items():
        others, other_failures = len(facts) - attempts[key], by_reason[reason] - len(ids)
        rate = (other_failures + PRIOR_RATE * PRIOR_TASKS) / (others + PRIOR_TASKS)
        rate = rate if allowed is None else min(rate, allowed)
        newest_first = tuple(sorted(ids, reverse=True))
        cells.append(
            Cell(dimension, key, reason, attempts[key], len(ids), attempts[key] * rate, newest_first)
        )
    return cells
