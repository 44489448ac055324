"""Planted worlds for the diagnosis and the voters: tasks whose true cause of failure is known."""

import random

from app.agents.evidence import EndReason, ParameterFact, TaskFact, TaskState

LIMIT = "slow_work.timeout_seconds"


def limit_parameter(value: float = 2.0, **fields) -> ParameterFact:
    standard = {"low": 0.1, "high": 100.0, "step_max": 2.0, "unit": "seconds", "risk": "open"}
    return ParameterFact(name=LIMIT, value=value, **{**standard, **fields})


def fact(task_id: int, **fields) -> TaskFact:
    standard = {
        "type": "slow_work",
        "state": TaskState.SETTLED,
        "end_reason": EndReason.UNKNOWN,
        "duration_seconds": 0.5,
        "agent_id": 1,
        "reserve_price_microcredits": 200_000,
        "values": {},
    }
    return TaskFact(task_id=task_id, **{**standard, **fields})


def timed_out(task_id: int, limit: float = 2.0, **fields) -> TaskFact:
    return fact(
        task_id,
        state=TaskState.FAILED,
        end_reason=EndReason.TIMED_OUT,
        duration_seconds=limit,
        values={LIMIT: limit},
        **fields,
    )


def refused(task_id: int, **fields) -> TaskFact:
    return fact(task_id, state=TaskState.FAILED, end_reason=EndReason.VERIFICATION_FAILED, **fields)


def heavy_tailed(
    count: int = 240, *, limit: float = 2.0, exponent: float = 2.5, cut_off: float = 1 / 3
) -> list[TaskFact]:
    """Pareto durations of which `cut_off` are longer than the limit, over four agents."""
    draw = random.Random(5)
    minimum = limit * cut_off ** (1 / exponent)
    facts = []
    for task_id in range(1, count + 1):
        duration = minimum * draw.random() ** (-1 / exponent)
        agent_id = task_id % 4 + 1
        made = timed_out(task_id, limit, agent_id=agent_id) if duration > limit else None
        facts.append(
            made or fact(task_id, duration_seconds=duration, agent_id=agent_id, values={LIMIT: limit})
        )
    return facts


def stuck(count: int = 240, limit: float = 2.0) -> list[TaskFact]:
    """A third of the tasks hang for ever, the others are quick."""
    return [
        timed_out(task_id, limit, agent_id=task_id % 4 + 1)
        if task_id % 3 == 0
        else fact(task_id, duration_seconds=0.05 + 0.001 * (task_id % 7), agent_id=task_id % 4 + 1)
        for task_id in range(1, count + 1)
    ]


def healthy(first_id: int, count: int = 120, kind: str = "easy_work") -> list[TaskFact]:
    """Another type, 2 % of whose tasks fail."""
    return [
        refused(task_id, type=kind, agent_id=task_id % 4 + 1)
        if (task_id - first_id) % 50 == 49
        else fact(task_id, type=kind, agent_id=task_id % 4 + 1)
        for task_id in range(first_id, first_id + count)
    ]
