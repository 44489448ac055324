"""A voter that asks whether the change can be tried safely.

Rule: for, when the parameter is not fixed (a person confirms what is gated), the new value is within bounds
and within one step, and no change of the parameter was rolled back in the seven days before the proposal.
Otherwise against.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.agents.client import JsonObject, NacreClient
from app.agents.evidence import ParameterFact, Risk
from app.agents.voter import Choice, Opinion, new_value, parameter_of, run_voter

QUIET_TIME = timedelta(days=7)
STEP_SLACK = 1e-9  # so that a step of exactly the largest factor is not lost to rounding


def judge(
    parameter: ParameterFact | None, to: float, opened_at: datetime, rolled_back_at: Sequence[datetime]
) -> Opinion:
    """The rule, over the parameter, the new value and when changes of the parameter were rolled back."""
    if parameter is None:
        return Opinion(Choice.AGAINST, "The parameter cannot be read as a number.", 20)
    if parameter.risk == Risk.FIXED:
        return Opinion(Choice.AGAINST, f"{parameter.name} is {parameter.risk}: no vote changes it.", 40)
    if not parameter.low <= to <= parameter.high:
        reason = f"{to:g} is outside {parameter.low:g} to {parameter.high:g} {parameter.unit}."
        return Opinion(Choice.AGAINST, reason, 20)
    factor = max(to / parameter.value, parameter.value / to) if to * parameter.value > 0 else float("inf")
    if factor > parameter.step_max * (1 + STEP_SLACK):
        reason = (
            f"{parameter.value:g} to {to:g} is a factor of {factor:.3g}; one step is {parameter.step_max:g}."
        )
        return Opinion(Choice.AGAINST, reason, 30)
    recent = [instant for instant in rolled_back_at if opened_at - QUIET_TIME <= instant <= opened_at]
    if recent:
        reason = f"{parameter.name} was rolled back on {max(recent):%Y-%m-%d %H:%M} UTC: let it rest."
        return Opinion(Choice.AGAINST, reason, 30)
    return Opinion(Choice.FOR, f"{parameter.value:g} to {to:g} is one step within bounds, easily undone.", 65)


def examine(client: NacreClient, proposal: JsonObject) -> Opinion:
    """Fetch the parameter and the ledger's rollbacks and judge."""
    rolled_back = [
        datetime.fromisoformat(entry["at"])
        for entry in client.items("/ledger", pages=1, type="ROLLED_BACK")
        if entry["payload"].get("parameter") == proposal["parameter"]
    ]
    opened_at = datetime.fromisoformat(proposal["opened_at"])
    parameter = parameter_of(client, proposal)
    return judge(parameter, new_value(proposal, parameter), opened_at, rolled_back)


if __name__ == "__main__":
    run_voter(examine)
