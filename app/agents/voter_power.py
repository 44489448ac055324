"""A voter that checks whether the test can answer the question.

Rule: for, when the tasks that the experiment needs (the platform's admission figure) fit its cap, and the
promised effect is a gain that the base rate leaves room for: effect > 0 and base + effect ≤ 1. Otherwise
against.
"""

from app.agents.client import JsonObject, NacreClient
from app.agents.voter import Choice, Opinion, run_voter

ROUNDING = 1e-9


def judge(*, needed_tasks: int, cap_tasks: int, base_rate: float, effect: float) -> Opinion:
    """The rule; rates between 0 and 1."""
    if effect <= 0.0 or base_rate + effect > 1.0 + ROUNDING:
        reason = f"A gain of {effect:g} on a base of {base_rate:.2f} is not possible."
        return Opinion(Choice.AGAINST, reason, 10)
    if needed_tasks > cap_tasks:
        reason = f"The test needs {needed_tasks} tasks and is capped at {cap_tasks}: it could not answer."
        return Opinion(Choice.AGAINST, reason, 20)
    room = cap_tasks / max(1, needed_tasks)
    reason = f"About {needed_tasks} of at most {cap_tasks} tasks will show {effect:+g} on {base_rate:.2f}."
    return Opinion(Choice.FOR, reason, round(min(80.0, 55 + 8 * room)))


def examine(_client: NacreClient, proposal: JsonObject) -> Opinion:
    """All figures stand in the proposal itself."""
    return judge(
        needed_tasks=int(proposal["admission_tasks"]),
        cap_tasks=int(proposal["cap_tasks"]),
        base_rate=float(proposal["base_rate"]),
        effect=float(proposal["expected_effect"]),
    )


if __name__ == "__main__":
    run_voter(examine)
