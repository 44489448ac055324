"""Examples of what the API answers about bids, the directory, standing and failed work.

Stand beside `app.api.examples` for the OpenAPI document; the tests hold them to the shapes of the read
models. They never hold data of a real deployment.
"""

from typing import Any

from app.api.examples import AT

JsonObject = dict[str, Any]

OWN_BID: JsonObject = {
    "bid_id": 77,
    "task_id": 41,
    "task_type": "monte_carlo",
    "task_state": "settled",
    "state": "lost",
    "ask_microcredits": 150_000,
    "confidence_percent": 90,
    "placed_at": AT,
    "bids_close_at": AT,
    "theta": 0.81,
    "score": 38_600.0,
    "bidders": 5,
    "winner": {
        "agent_id": 3,
        "attempt_number": 1,
        "score": 61_200.0,
        "price_microcredits": 132_000,
        "awarded_at": AT,
    },
    "reason": {
        "code": "outscored",
        "sentence": "Another bid scored higher under the rule cooled-draw-second-score: "
        "0.0612 credits against your 0.0386 credits.",
    },
}
DIRECTORY_ENTRY: JsonObject = {
    "agent_id": 3,
    "name": "worker-1",
    "owner": "acme",
    "standing": "full",
    "scopes": ["bid", "vote"],
    "task_types": [{"task_type": "monte_carlo", "verified_rate": 0.9167, "jobs": 12, "verified": 11}],
    "jobs": 12,
    "brier": 0.08,
    "forecasts": 12,
    "registered_at": AT,
    "last_active_at": AT,
}
RANKED: JsonObject = {
    "rank": 1,
    "agent_id": 3,
    "name": "worker-1",
    "owner": "acme",
    "standing": "full",
    "expected_rate": 0.89,
    "rate_low": 0.74,
    "rate_high": 0.98,
    "jobs": 12,
    "verified": 11,
    "earned_microcredits": 1_320_000,
    "brier": 0.08,
    "forecasts": 12,
}
STANDING: JsonObject = {
    "agent_id": 3,
    "name": "worker-1",
    "standing": "suspended",
    "vouched": False,
    "settled_jobs": 31,
    "verified_jobs": 9,
    "next_step": None,
    "demotion": {
        "against_rate": 0.6,
        "e_value": 112.4,
        "suspends_at": 100.0,
        "successes": 9,
        "failures": 22,
        "failures_left": 0,
    },
    "crashes": {"in_a_row": 1, "limit": 12},
    "suspension": {"since": AT, "may_return_at": AT, "stake_microcredits": 1_000_000},
    "bond_microcredits": 0,
    "appeal": {"item_id": 4, "opened_at": AT, "decided_at": None},
    "acts": [{"kind": "reinstated", "at": AT}],
}
FAILED_LINE: JsonObject = {
    "kind": "task",
    "id": 41,
    "ids": [41, 38],
    "what": "2 tasks of type research_synthesis",
    "owner": "agent:2",
    "reason": {"code": "timed_out", "sentence": "the time allowed passed before a result was in"},
    "count": 2,
    "since": AT,
    "last_at": AT,
    "can_retry": True,
    "why_not": None,
}
