"""How an experiment reads in a terminal: both legs as rows of tables, the plan and the level as facts.

Stands beside the listing actions. JSON stays the API's; this is for people. It never computes a figure that
the read model does not have.
"""

from typing import Any

JsonObject = dict[str, Any]

LISTED = (
    "experiment_id", "parameter", "control_value", "treatment_value", "state", "leg", "e", "line", "old",
    "new", "assigned_count", "metric", "scope", "kind", "started_at",
)  # fmt: skip
LEGS = (
    "leg", "verdict", "reason", "units", "e_value", "threshold", "e_max", "harm_e", "srm_e", "estimate",
    "lower", "upper", "cap_tasks", "started_at", "closes_at", "ended_at",
)  # fmt: skip
ARMS = (
    "leg", "arm", "value", "assigned", "resolved", "successes", "rate", "units", "score",
    "mean_duration_seconds", "mean_cost_microcredits",
)  # fmt: skip
GUARDRAILS = (
    "leg", "metric", "margin", "ceiling", "harm_e", "harm_threshold", "proof_e", "proof_threshold",
    "is_proof_required",
)  # fmt: skip
FACTS = (
    "experiment_id", "kind", "parameter", "control_value", "treatment_value", "state", "task_type", "layer",
    "scope", "window_seconds", "metric", "treatment_share", "assigned_count", "stream_position",
    "confirm_alpha", "confirm_threshold", "proposal_id", "lap_id", "started_at", "closes_at", "ended_at",
)  # fmt: skip


def legs_of(experiment: JsonObject) -> list[JsonObject]:
    """Return the legs that there are, the trial first."""
    return [leg for leg in (experiment["trial"], experiment["probation"]) if leg is not None]


def in_a_row(experiment: JsonObject) -> JsonObject:
    """Return an experiment for a table: the figures of the leg that counts now."""
    leg = legs_of(experiment)[-1]
    return {
        **experiment,
        "leg": leg["leg"],
        "e": leg["e_value"],
        "line": leg["threshold"],
        "old": leg["control"]["rate"],
        "new": leg["treatment"]["rate"],
    }


def in_words(experiment: JsonObject) -> JsonObject:
    """Return an experiment for reading: facts, then its legs, arms, guardrails and path as tables."""
    legs = legs_of(experiment)
    power = {f"power.{name}": value for name, value in experiment["power"].items()}
    names = {"control": "old", "treatment": "new"}
    return {
        **{name: experiment[name] for name in FACTS},
        **power,
        "legs": legs,
        "arms": [
            {"leg": leg["leg"], "arm": words, "value": experiment[f"{arm}_value"], **leg[arm]}
            for leg in legs
            for arm, words in names.items()
        ],
        "guardrails": [{"leg": leg["leg"], **row} for leg in legs for row in leg["guardrails"]],
        "path": experiment["path"],
    }
