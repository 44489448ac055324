"""The bodies of requests: strict, bounded, and nothing beyond what is named.

Stand between strict JSON and the routes. Who acts is never in a body. Bounds here are of form; what the
market or the vote allows is decided by the services.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.domain.parameter_kinds import LENGTH_MAX

LARGEST_ID = 2**63 - 1
PRICE_HIGHEST_MICROCREDITS = 10**15
DAY_SECONDS = 86_400

Identity = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Price = Annotated[int, Field(ge=1, le=PRICE_HIGHEST_MICROCREDITS)]
Line = Annotated[
    str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")
]
Reason = Annotated[str, Field(min_length=1, max_length=4_000)]
TypeName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_.\-]+$")]
MetricName = Literal["task_success", "task_duration", "task_cost"]
Decimal = Annotated[str, Field(max_length=32, pattern=r"^-?[0-9]+(\.[0-9]+)?$")]


class Body(BaseModel):
    """What every body has in common: strict types, no unknown fields, finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Nothing(Body):
    """An empty object."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class NewAgent(Body):
    """An agent to register."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "worker-1",
                    "owner": "acme",
                    "scopes": ["bid", "vote"],
                    "vouched": True,
                    "model": "small-2026",
                }
            ]
        }
    )
    name: Line
    owner: Line
    model: Line | None = None
    scopes: Annotated[list[Literal["post", "bid", "propose", "vote"]], Field(max_length=4)]
    vouched: bool = False


class Renewing(Body):
    """A lease to keep alive."""

    task_id: Identity
    fencing_token: Identity


class WorkQuery(Body):
    """What kinds of work an agent looks for; `types` null means all, and an empty list none.

    Open tasks come oldest first; `after` (`next_after` of the answer before) asks for those that follow.
    `lease` takes the leases of my awards at once, `renew` keeps those that I hold alive, and `wait_seconds`
    lets the answer wait until there is something to do.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"types": ["monte_carlo"], "limit": 10, "lease": True, "renew": [], "wait_seconds": 20}
            ]
        }
    )
    types: Annotated[list[TypeName], Field(max_length=100)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    after: Annotated[int, Field(ge=0, le=LARGEST_ID)] | None = None
    lease: bool = False
    renew: Annotated[list[Renewing], Field(max_length=500)] = Field(default_factory=list)
    wait_seconds: Annotated[float, Field(ge=0, le=30)] = 0.0


class NewTask(Body):
    """A task to post; the payload is checked against its type."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "monte_carlo",
                    "payload": {"model": {"name": "pi_integral"}, "samples": 200_000, "seed": 7},
                    "reserve_price_microcredits": 200_000,
                    "deadline_seconds": 3_600,
                }
            ]
        }
    )
    type: TypeName
    payload: dict[str, Any]
    reserve_price_microcredits: Price | None = None
    deadline_seconds: Annotated[int, Field(ge=1, le=30 * DAY_SECONDS)] = 3_600
    workflow: Line | None = None


class Cancellation(Body):
    """Why a task is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "no longer needed"}]})
    reason: Reason


class NewBid(Body):
    """A sealed bid. The claimed confidence is scored and shown, never used for the award."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ask_microcredits": 120_000, "confidence_percent": 90}]}
    )
    ask_microcredits: Price
    confidence_percent: Annotated[int, Field(ge=0, le=100)] | None = None


class LeaseToken(Body):
    """The token of a lease."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"fencing_token": 17}]})
    fencing_token: Identity


class Result(Body):
    """A result in the three-field handoff."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "fencing_token": 17,
                    "outcome": "completed",
                    "failure_reason": None,
                    "handoff": {
                        "done": "estimated pi from 200,000 samples",
                        "changed": {"estimate": 3.1412, "standard_error": 0.0037, "samples": 200_000},
                        "next": "nothing",
                    },
                }
            ]
        }
    )
    fencing_token: Identity
    outcome: Literal["completed", "failed"]
    failure_reason: Literal["timed_out", "agent_error"] | None = None
    handoff: dict[str, Any]


class NewGuardrail(Body):
    """A metric that the change must not make worse by more than a margin."""

    metric: Annotated[
        MetricName, Field(description="What must not get worse: another metric than the one that decides.")
    ]
    margin: Annotated[
        Decimal,
        Field(
            description="By how much it may, as decimal text between 0 and 1: in success rate, or for "
            "duration and cost as a share of the metric's 95th percentile."
        ),
    ]


class NewProposal(Body):
    """A typed change, the metric that decides about it, and what it may not make worse.

    `expected_effect` is decimal text: the gain in success rate, in (0, 1); for `task_duration` and
    `task_cost` the chance that a treated task is better, minus one half, in (0, 0.5]. `scope` says what the
    change touches, and so what is randomised: each task, an agent for a time window, or the platform for a
    time window.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "parameter": "research_synthesis.timeout_seconds",
                    "to": "1.8",
                    "expected_effect": "0.25",
                    "root_cause": "a third of the tasks end timed_out while the source answers within 2 s",
                    "evidence": [101, 104, 109],
                    "cap_tasks": 400,
                    "cap_days": 7,
                    "meta_task_id": 120,
                    "metric": "task_success",
                    "scope": "task",
                    "guardrails": [{"metric": "task_cost", "margin": "0.2"}],
                }
            ]
        }
    )
    parameter: Annotated[
        str,
        Field(
            min_length=1,
            max_length=96,
            description="The full name of the parameter, exactly as GET /parameters lists it.",
        ),
    ]
    to: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LENGTH_MAX,
            description="The new value as text, within the parameter's bounds and one step of the value in "
            "force; the value it changes from is read by the platform.",
        ),
    ]
    expected_effect: Annotated[
        Decimal,
        Field(
            description="The smallest gain worth having, as decimal text: in success rate, over 0 and under "
            "1; for task_duration and task_cost the chance that a treated task is better, minus one half, "
            "at most 0.5. It sets how many tasks the test needs."
        ),
    ]
    root_cause: Annotated[
        Reason, Field(description="Why, in prose, for the voters. Nothing is decided by what it says.")
    ]
    evidence: Annotated[
        list[Identity],
        Field(
            min_length=1,
            max_length=200,
            description="Ids of ended tasks of the type that the parameter governs, each once.",
        ),
    ]
    cap_tasks: Annotated[
        int, Field(ge=1, le=1_000_000, description="Most tasks (or windows) that the trial may use.")
    ]
    cap_days: Annotated[int, Field(ge=1, le=365, description="Most days that the trial may take.")]
    meta_task_id: Annotated[
        Identity | None,
        Field(description="The investigation that this comes from, if the caller works on one."),
    ] = None
    metric: Annotated[MetricName, Field(description="What decides.")] = "task_success"
    scope: Annotated[
        Literal["task", "agent", "platform"],
        Field(description="What is randomised: each task, an agent or the platform for a time window."),
    ] = "task"
    guardrails: Annotated[
        list[NewGuardrail],
        Field(
            max_length=3,
            description="What must not get worse, each other metric once. A change for task_duration or "
            "task_cost always guards task_success.",
        ),
    ] = Field(default_factory=list)


class NewBallot(Body):
    """One vote; a vote against needs its reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"choice": "for", "reason": "the evidence shows time-outs", "forecast_percent": 80}]
        }
    )
    choice: Literal["for", "against", "abstain"]
    reason: Annotated[str, Field(max_length=4_000)] = ""
    forecast_percent: Annotated[int, Field(ge=0, le=100)] | None = None


class Rollback(Body):
    """Why a promoted value is taken out again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "costs doubled"}]})
    reason: Reason


class JobAct(Body):
    """What an operator does with a cron job."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the snapshot is being looked at"}]})
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ShiftAcceptance(Body):
    """Why a lasting change of a metric is normal from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "half of the fleet was retired on purpose"}]}
    )
    reason: Reason


class Unfreezing(Body):
    """Why promotions may go on after placebos had won too often."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "the verifier was wrong; it is mended"}]}
    )
    reason: Reason


class HoldoutRenewal(Body):
    """Why the holdout moves on to the config that is in force now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "a quarter has passed"}]})
    reason: Reason


class Reinstatement(Body):
    """Why a suspended agent gets another chance."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "its source was down"}]})
    reason: Reason


class NewReviewItem(Body):
    """Something for a person to look at."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "agent_crashes", "subject": "worker-1", "context": {"crashes": 12}}]
        }
    )
    kind: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z0-9_]+$")]
    subject: Annotated[str, Field(min_length=1, max_length=120)]
    context: dict[str, Any] = Field(default_factory=dict)
