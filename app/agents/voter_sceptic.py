"""A voter that looks for itself whether more time would help at all.

Rule: of the tasks that ended within the present limit, some must have needed the last 30 % of it (at least
2 %, and two of them): work that is merely slow thins out gradually. When nothing ends near the limit although
many are cut off there, what hangs would hang longer: against. It abstains from anything but a longer limit.
"""

from collections.abc import Sequence

from app.agents.client import JsonObject, NacreClient
from app.agents.evidence import EndReason, ParameterFact, TaskFact, TaskState, ended_tasks
from app.agents.voter import Choice, Opinion, new_value, parameter_of, run_voter

NEAR_SHARE_OF_LIMIT = 0.7
LEAST_SHARE = 0.02
LEAST_TASKS = 2
PLENTY_SHARE = 0.1


def judge(parameter: ParameterFact | None, to: float, of_type: Sequence[TaskFact]) -> Opinion:
    """The rule, over recent ended tasks of the governed type."""
    if parameter is None or not parameter.is_time_limit or to <= parameter.value:
        return Opinion(Choice.ABSTAIN, "I judge longer time limits only.", 50)
    at_limit = [
        fact for fact in of_type if fact.values.get(parameter.name, parameter.value) == parameter.value
    ]
    settled = [
        fact.duration_seconds
        for fact in at_limit
        if fact.state == TaskState.SETTLED and fact.duration_seconds is not None
    ]
    cut_off = sum(fact.end_reason == EndReason.TIMED_OUT for fact in at_limit)
    if not cut_off:
        return Opinion(Choice.AGAINST, f"No recent {parameter.task_type} task was cut off at the limit.", 10)
    near = sum(duration >= NEAR_SHARE_OF_LIMIT * parameter.value for duration in settled)
    share = near / len(settled) if settled else 0.0
    found = f"{near} of {len(settled)} settled tasks ended in the last 30 % below {parameter.value:g} s"
    if near < LEAST_TASKS or share < LEAST_SHARE:
        return Opinion(Choice.AGAINST, f"Only {found}, {cut_off} were cut off: more time would not help.", 10)
    return Opinion(
        Choice.FOR, f"{found}, {cut_off} were cut off: a tail.", 80 if share >= PLENTY_SHARE else 60
    )


def examine(client: NacreClient, proposal: JsonObject) -> Opinion:
    """Fetch the parameter and recent tasks of its type and judge."""
    parameter = parameter_of(client, proposal)
    of_type = (
        [] if parameter is None else ended_tasks(client, ended_after=None, task_type=parameter.task_type)
    )
    return judge(parameter, new_value(proposal, parameter), of_type)


if __name__ == "__main__":
    run_voter(examine)
