"""A voter that weighs what more time costs against what it brings.

Rule: for, when the promised gain × the mean reserve price exceeds the waiting it may cost, 500
micro-credits for each added second of each task that now reaches the limit. It abstains from what is no
time limit, and is for a shorter one, which costs no waiting.
"""

from collections.abc import Sequence

from app.agents.client import JsonObject, NacreClient
from app.agents.evidence import EndReason, ParameterFact, TaskFact, ended_tasks
from app.agents.voter import Choice, Opinion, new_value, parameter_of, run_voter

WAITING_MICROCREDITS_PER_SECOND = 500.0


def judge(parameter: ParameterFact | None, to: float, effect: float, of_type: Sequence[TaskFact]) -> Opinion:
    """The rule, over recent ended tasks of the governed type."""
    if parameter is None or not parameter.is_time_limit:
        return Opinion(Choice.ABSTAIN, "I judge time limits only.", 50)
    if not of_type:
        return Opinion(Choice.ABSTAIN, f"No {parameter.task_type} task has ended: nothing to weigh.", 50)
    mean_reserve = sum(fact.reserve_price_microcredits for fact in of_type) / len(of_type)
    waiting_share = sum(fact.end_reason == EndReason.TIMED_OUT for fact in of_type) / len(of_type)
    benefit = effect * mean_reserve
    added_seconds = to - parameter.value
    cost = max(0.0, waiting_share * added_seconds * WAITING_MICROCREDITS_PER_SECOND)
    weighed = (
        f"a gain worth {benefit:.0f} micro-credits a task against {cost:.0f} for the {waiting_share:.0%} "
        f"that may wait {added_seconds:.3g} s longer"
    )
    if benefit <= cost:
        return Opinion(Choice.AGAINST, f"Not worth it: {weighed}.", 40)
    return Opinion(Choice.FOR, f"Worth it: {weighed}.", 60 if benefit < 2 * cost else 70)


def examine(client: NacreClient, proposal: JsonObject) -> Opinion:
    """Fetch the parameter and recent tasks of its type and judge."""
    parameter = parameter_of(client, proposal)
    of_type = (
        [] if parameter is None else ended_tasks(client, ended_after=None, task_type=parameter.task_type)
    )
    return judge(parameter, new_value(proposal, parameter), float(proposal["expected_effect"]), of_type)


if __name__ == "__main__":
    run_voter(examine)
