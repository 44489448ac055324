"""What the voters share: see which ballots I may still cast, examine the proposal, vote with a reason.

Each voter is a script with one stated rule, a pure function over evidence fetched over the API. It never
votes twice, never by what others voted, and never by who proposed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeAlias

from app.agents import runtime
from app.agents.client import ApiProblem, JsonObject, NacreClient
from app.agents.evidence import ParameterFact, parameter_fact
from app.agents.runtime import Pace, log


class Choice(StrEnum):
    """A voter's word."""

    FOR = "for"
    AGAINST = "against"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Opinion:
    """A ballot: the choice, why, and the chance in percent that the experiment will win."""

    choice: Choice
    reason: str
    forecast_percent: int


Examine: TypeAlias = Callable[[JsonObject], Opinion]


def cast_ballots(client: NacreClient, proposals: Sequence[Mapping[str, Any]], examine: Examine) -> bool:
    """Examine each proposal and cast the ballot; True when one was cast. A refused ballot is logged."""
    has_voted = False
    for entry in proposals:
        proposal = client.get(f"/proposals/{entry['proposal_id']}")
        opinion = examine(proposal)
        body = {
            "choice": str(opinion.choice),
            "reason": opinion.reason,
            "forecast_percent": opinion.forecast_percent,
        }
        try:
            client.post(f"/proposals/{proposal['proposal_id']}/ballots", body)
            has_voted = True
        except ApiProblem as problem:
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            log(f"ballot on proposal {proposal['proposal_id']} refused: {problem}")
    return has_voted


def parameter_of(client: NacreClient, proposal: Mapping[str, Any]) -> ParameterFact | None:
    """The parameter that a proposal changes; None when it is no number."""
    return parameter_fact(client.get(f"/parameters/{proposal['parameter']}"))


def new_value(proposal: Mapping[str, Any], parameter: ParameterFact | None) -> float:
    """The value that a proposal asks for; not a number (nan) where the parameter is a choice or a text."""
    return math.nan if parameter is None else float(proposal["to"])


def run_voter(examine: Callable[[NacreClient, JsonObject], Opinion]) -> None:
    """Run a voter until it is told to end."""
    with NacreClient.from_environment() as client:

        def step() -> bool:
            proposals = client.work([], limit=10)["proposals"]
            return cast_ballots(client, proposals, lambda proposal: examine(client, proposal))

        runtime.run(step, Pace(busy_seconds=0.5))
