"""A voter that checks the evidence: do the cited tasks bear out the root cause?

Rule: for, when all cited tasks exist, are failures of the type that the parameter governs, and at least 60
% of them failed for one reason, which for a time limit must be that time ran out. Otherwise against.
"""

from collections import Counter
from collections.abc import Sequence

from app.agents.client import JsonObject, NacreClient
from app.agents.evidence import (
    EndReason,
    ParameterFact,
    TaskFact,
    TaskState,
    sample_of,
    tasks_by_id,
)
from app.agents.voter import Choice, Opinion, parameter_of, run_voter

DOMINATING_SHARE = 0.6


def judge(parameter: ParameterFact | None, cited: Sequence[TaskFact], missing: Sequence[int]) -> Opinion:
    """The rule, over the parameter, the cited tasks that exist and the ids of those that do not."""
    if parameter is None or not cited:
        return Opinion(Choice.AGAINST, "There is no evidence that could be read.", 10)
    if missing:
        return Opinion(Choice.AGAINST, f"Cited task {missing[0]} does not exist.", 10)
    strangers = [fact for fact in cited if fact.type != parameter.task_type or fact.state != TaskState.FAILED]
    if strangers:
        one = strangers[0]
        reason = (
            f"Cited task {one.task_id} is a {one.state} {one.type} task, no failed {parameter.task_type}."
        )
        return Opinion(Choice.AGAINST, reason, 10)
    dominating, count = Counter(fact.end_reason for fact in cited).most_common(1)[0]
    share = count / len(cited)
    found = f"{share:.0%} of {len(cited)} cited {parameter.task_type} failures ended in {dominating}"
    if share < DOMINATING_SHARE:
        return Opinion(Choice.AGAINST, f"{found}: no reason dominates.", 25)
    if parameter.is_time_limit and dominating != EndReason.TIMED_OUT:
        return Opinion(Choice.AGAINST, f"{found}: a time limit does not govern that.", 10)
    return Opinion(Choice.FOR, f"{found}.", round(50 + 35 * share))


def examine(client: NacreClient, proposal: JsonObject) -> Opinion:
    """Fetch an evenly spaced sample of the cited tasks and judge."""
    cited, missing = tasks_by_id(client, sample_of(proposal["evidence"]))
    return judge(parameter_of(client, proposal), cited, missing)


if __name__ == "__main__":
    run_voter(examine)
