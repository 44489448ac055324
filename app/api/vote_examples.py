"""Examples of what the API answers about proposals, reviews and voters.

Stand beside `app.api.examples` for the OpenAPI document; the tests hold them to the shapes of the read
models. They never hold data of a real deployment.
"""

from typing import Any

from app.api.experiment_examples import AT, HASH, TIMEOUT

JsonObject = dict[str, Any]

PROPOSAL: JsonObject = {
    "proposal_id": 5,
    "lap_id": 1,
    "meta_task_id": 120,
    "proposer_id": 6,
    "parameter": TIMEOUT,
    "from": "0.9",
    "to": "1.8",
    "from_version": 1,
    "inverse": {"parameter": TIMEOUT, "from": "1.8", "to": "0.9"},
    "metric": "task_success",
    "scope": "task",
    "guardrails": [{"metric": "task_cost", "margin": "0.2", "ceiling": "120000.0"}],
    "expected_effect": "0.25",
    "base_rate": 0.65,
    "cap_tasks": 400,
    "cap_days": 7,
    "admission_tasks": 92,
    "admission": {
        "needed_tasks": 92,
        "units_per_day": 368.0,
        "expected_seconds": 21_600.0,
        "expected_days": 0.25,
        "cap_tasks": 400,
        "cap_days": 7,
    },
    "root_cause": "a third of the tasks end timed_out",
    "evidence": [101, 104, 109],
    "content_hash": HASH,
    "risk": "open",
    "state": "testing",
    "electorate": 6,
    "electorate_mode": "agent",
    "conflicts": [{"agent_id": 6, "reason": "proposer"}],
    "rules": {"threshold_percent": 51, "minimum_ballots": 3},
    "yes": 4,
    "no": 1,
    "abstain": 0,
    "need": {"early": 4, "at_close": 2},
    "opened_at": AT,
    "minimum_until": AT,
    "closes_at": AT,
    "extended_from": None,
    "decided_at": AT,
    "ended_at": None,
    "end_reason": None,
    "experiment_id": 2,
}
PROPOSAL_LIFE: JsonObject = {
    **PROPOSAL,
    "episode_id": 1,
    "electors": [{"agent_id": 3, "name": "worker-1", "unit": "agent:3"}],
    "ballots": [
        {
            "ballot_id": 11,
            "agent_id": 3,
            "agent_name": "worker-1",
            "unit": "agent:3",
            "choice": "for",
            "forecast_percent": 80,
            "reason": "the evidence shows time-outs",
            "brier": None,
            "cast_at": AT,
        }
    ],
    "review": None,
}
SHOWN: JsonObject = {
    "proposal_id": 9,
    "parameter": "research_synthesis.maximum_attempts",
    "risk": "gated",
    "from": "2",
    "to": "3",
    "from_version": 1,
    "inverse": {"from": "3", "to": "2"},
    "proposer": "agent:6",
    "root_cause": "one retry more would have saved a third of the failures",
    "evidence": [101, 104, 109],
    "metric": "task_success",
    "scope": "task",
    "guardrails": [],
    "expected_effect": "0.25",
    "base_rate": "0.65",
    "needed_tasks": 92,
    "units_per_day": "368.0",
    "expected_seconds": "21600.0",
    "cap_tasks": 400,
    "cap_days": 7,
    "rules": {"threshold_percent": 51, "minimum_ballots": 3},
    "electorate_mode": "agent",
    "conflicts": {"agent:6": "proposer"},
    "votes": {"yes": 4, "no": 1, "abstain": 0, "electorate": 6},
    "ballots": [
        {"voter": "agent:3", "choice": "for", "forecast_percent": 80, "reason": "the evidence holds"}
    ],
}
REVIEW: JsonObject = {
    "proposal_id": 9,
    "lap_id": 2,
    "proposer_id": 6,
    "parameter": "research_synthesis.maximum_attempts",
    "from": "2",
    "to": "3",
    "state": "pending",
    "proposal_state": "review",
    "shown_sha256": HASH,
    "reviewer": None,
    "reason": None,
    "ledger_index": 41,
    "opened_at": AT,
    "expires_at": AT,
    "decided_at": None,
    "seconds_left": 259_200.0,
}
REVIEW_LIFE: JsonObject = {**REVIEW, "shown": SHOWN, "is_erased": False}
VOTER: JsonObject = {
    "agent_id": 3,
    "name": "worker-1",
    "owner": "acme",
    "eligible": 20,
    "cast": 18,
    "yes": 11,
    "no": 5,
    "abstain": 2,
    "participation": 0.9,
    "forecasts": 16,
    "scored": 12,
    "brier": 0.181,
    "base_rate": 0.6,
    "reference_brier": 0.24,
    "calibration": [
        {
            "low_percent": 70,
            "high_percent": 80,
            "forecasts": 12,
            "mean_percent": 74.5,
            "came_true": 9,
            "lower": 0.468,
            "upper": 0.911,
        }
    ],
    "sides": {"for_won": 7, "for_lost": 2, "against_won": 1, "against_lost": 2},
    "summary": "12 scored: mean Brier 0.181, better than the base rate's 0.240",
}
VOTER_LIFE: JsonObject = {
    **VOTER,
    "ballots": [
        {
            "ballot_id": 11,
            "proposal_id": 5,
            "parameter": TIMEOUT,
            "state": "promoted",
            "unit": "agent:3",
            "choice": "for",
            "forecast_percent": 80,
            "has_won": True,
            "brier": 0.04,
            "cast_at": AT,
        }
    ],
}
