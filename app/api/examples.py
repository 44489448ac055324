"""One example of each thing the API answers with, for the OpenAPI document and its readers.

Stands beside the routes; the tests hold the examples to the shapes of the read models. It never holds data
of a real deployment.
"""

from typing import Any

from app.api.experiment_examples import EXPERIMENT
from app.api.vote_examples import PROPOSAL

JsonObject = dict[str, Any]

AT = "2026-01-31T12:00:00.000000Z"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TIMEOUT = "research_synthesis.timeout_seconds"

AGENT: JsonObject = {
    "agent_id": 3,
    "name": "worker-1",
    "owner": "acme",
    "model": "small-2026",
    "scopes": ["bid", "vote"],
    "standing": "probation",
    "vouched": True,
    "settled_jobs": 12,
    "verified_jobs": 11,
    "open_bids": 2,
    "forecasts": 12,
    "brier": 0.08,
    "balance_microcredits": 100_001_320_000,
    "records": [{"task_type": "monte_carlo", "jobs": 12, "verified": 11, "success_rate": 0.9167}],
    "registered_at": AT,
    "last_active_at": AT,
}
REGISTERED: JsonObject = {"agent_id": 3, "name": "worker-1", "api_key": "nac_shown-once"}
WORK: JsonObject = {
    "awards": [
        {
            "task_id": 41,
            "type": "monte_carlo",
            "kind": "user",
            "payload": {"model": {"name": "pi_integral"}, "samples": 200_000},
            "reserve_price_microcredits": 200_000,
            "deadline_at": AT,
        }
    ],
    "open": [
        {
            "task_id": 42,
            "type": "monte_carlo",
            "kind": "user",
            "payload": {"model": {"name": "pi_integral"}, "samples": 200_000},
            "reserve_price_microcredits": 200_000,
            "deadline_at": AT,
            "bids_close_at": AT,
            "has_bid": False,
        }
    ],
    "next_after": None,
    "proposals": [{"proposal_id": 5}],
}
TASK: JsonObject = {
    "task_id": 41,
    "kind": "user",
    "type": "monte_carlo",
    "state": "settled",
    "requester_id": 2,
    "lap_id": None,
    "payload": {"model": {"name": "pi_integral"}, "samples": 200_000, "seed": 99, "minimum_samples": 20_000},
    "reserve_price_microcredits": 200_000,
    "posted_at": AT,
    "bids_close_at": AT,
    "awarded_at": AT,
    "deadline_at": AT,
    "ended_at": AT,
    "awarded_agent_id": 3,
    "attempt_count": 1,
    "end_reason": "verified",
    "duration_seconds": 0.41,
    "paid_microcredits": 132_000,
    "parameters": {
        "monte_carlo.timeout_seconds": {
            "value": "30",
            "source": "default",
            "version": 1,
            "arm": None,
            "experiment_id": None,
        }
    },
    "is_holdout": False,
    "workflow": None,
    "retry_of_id": None,
}
TASK_LIFE: JsonObject = {
    **TASK,
    "retried_as_id": None,
    "bids": [{"agent_id": 3, "ask_microcredits": 120_000, "confidence_percent": 90, "placed_at": AT}],
    "awards": [
        {
            "attempt_number": 1,
            "agent_id": 3,
            "rule": "cooled-draw-second-score",
            "seed": "5b1f",
            "price_microcredits": 132_000,
            "stake_microcredits": 10_000,
            "is_unproven": False,
            "inputs": {"cooling": 4.0, "bids": []},
            "awarded_at": AT,
        }
    ],
    "attempts": [
        {
            "number": 1,
            "agent_id": 3,
            "state": "verified",
            "leased_at": AT,
            "allowed_until": AT,
            "expires_at": AT,
            "heartbeat_at": AT,
            "submitted_at": AT,
            "ended_at": AT,
            "handoff": {"done": "estimated pi", "changed": {"estimate": 3.1412}, "next": "nothing"},
            "verification": {"is_verified": True},
            "reason": None,
        }
    ],
    "exposures": [{"experiment_id": 2, "arm": 1, "value": "1.8", "share": 0.5, "ordinal": 0, "outcome": 1.0}],
    "transfers": [
        {
            "transfer_id": 9,
            "kind": "pay",
            "debit": "escrow",
            "credit": "agent:3",
            "amount_microcredits": 132_000,
            "created_at": AT,
        }
    ],
    "late_results": [
        {
            "late_result_id": 1,
            "agent_id": 4,
            "fencing_token": 16,
            "handoff": {"done": "too late", "changed": {}, "next": ""},
            "reason": "stale_fencing_token",
            "received_at": AT,
        }
    ],
}
LEASE: JsonObject = {
    "fencing_token": 17,
    "expires_at": AT,
    "timeout_seconds": 30.0,
    "payload": TASK["payload"],
    "parameters": TASK["parameters"],
}
SNAPSHOT: JsonObject = {
    "metric": "task_success",
    "dimension": "platform",
    "key": "all",
    "window_start": AT,
    "window_end": AT,
    "numerator": 46,
    "denominator": 70,
}
EPISODE: JsonObject = {
    "episode_id": 1,
    "metric": "task_success",
    "dimension": "task_type",
    "key": "research_synthesis",
    "kind": "proportion",
    "state": "open",
    "shape": None,
    "observed": 0.657,
    "expected": 0.7,
    "interval": [0.7, 1.0],
    "unit": "tasks",
    "rule": "line",
    "numerator": 46,
    "denominator": 70,
    "baseline_rate": None,
    "p_value": None,
    "evidence": {},
    "lap_id": 1,
    "meta_task_id": 120,
    "began_at": AT,
    "opened_at": AT,
    "updated_at": None,
    "accepted_ledger_index": None,
    "closed_at": None,
}
PARAMETER: JsonObject = {
    "name": TIMEOUT,
    "value": "1.8",
    "default": "0.9",
    "source": "promoted",
    "version": 2,
    "kind": "number",
    "choices": [],
    "length_max": None,
    "sets_pay": False,
    "low": "0.1",
    "high": "3600",
    "step_max": "2",
    "unit": "seconds",
    "risk": "open",
    "owner": "research_synthesis",
    "layer": "research_synthesis",
    "experiment": {"experiment_id": 2, "state": "probation"},
    "is_retired": False,
    "summary": "How long an agent may work on one task before it is stopped.",
    "changed_at": AT,
}
PARAMETER_LIFE: JsonObject = {
    **PARAMETER,
    "history": [
        {
            "version": 2,
            "value": "1.8",
            "source": "promoted",
            "actor": "system:learn",
            "reason": None,
            "experiment_id": 2,
            "ledger_index": 14,
            "changed_at": AT,
        }
    ],
}
ENTRY: JsonObject = {
    "index": 14,
    "type": "PROMOTED",
    "actor": "system:learn",
    "lap": 1,
    "at": AT,
    "payload": {"parameter": TIMEOUT, "from": "0.9", "to": "1.8"},
    "leaf_hash": HASH,
}
INCLUSION: JsonObject = {"index": 14, "size": 15, "leaf_hash": HASH, "root": HASH, "proof": [HASH]}
CONSISTENCY: JsonObject = {"from": 10, "to": 15, "from_root": HASH, "to_root": HASH, "proof": [HASH]}
CHECKPOINT: JsonObject = {
    "origin": "nacre",
    "size": 15,
    "root": HASH,
    "note": "nacre\n15\n…\n\n— nacre …\n",
}
LAP: JsonObject = {
    "lap_id": 1,
    "opened_at": AT,
    "closed_at": AT,
    "outcome": "promoted",
    "stage": "promote",
    "stages": [
        {
            "name": "observe",
            "state": "done",
            "at": AT,
            "detail": "task_success of task_type research_synthesis: 46 of 70 (66 %), by rule line",
            "ref": {"kind": "episode", "id": 1},
        }
    ],
    "episode": EPISODE,
    "meta_task": TASK,
    "proposal": PROPOSAL,
    "experiment": EXPERIMENT,
    "entries": [ENTRY],
    "parameter": {"name": TIMEOUT, "before": "0.9", "after": "1.8"},
}
DEAD_LETTER: JsonObject = {
    "delivery_id": 8,
    "event_id": 7,
    "event_type": "TaskEnded",
    "aggregate": "task:41",
    "payload": {"task_id": 41},
    "lap_id": None,
    "subscriber": "sandbox",
    "attempts": 8,
    "last_error": "KeyError: 'task_id'",
    "published_at": AT,
}
TICK: JsonObject = {
    "tick_id": 3,
    "job": "platform_metrics_snapshot",
    "due_at": AT,
    "trigger": "clock",
    "claimed_by": "host:4711",
    "state": "done",
    "reason": None,
    "priority": 10,
    "budget_seconds": 30.0,
    "started_at": AT,
    "late_seconds": 0.003,
    "ended_at": AT,
    "result": {"snapshots": 5},
    "error": None,
}
JOB: JsonObject = {
    "job": "platform_metrics_snapshot",
    "summary": "Counts what ended since the last window, per platform, task type and agent.",
    "role": "essential",
    "every_seconds": 3600.0,
    "daily_at": None,
    "budget_seconds": 30.0,
    "jitter_seconds": 0,
    "misfire": "run_once",
    "priority": 10,
    "effective_priority": 10,
    "health_reason": None,
    "next_due_at": AT,
    "is_paused": False,
    "paused_because": None,
    "run_asked_at": None,
    "last_tick": TICK,
}
CRON: JsonObject = {"health_points": 96, "jobs": [JOB], "history": {"items": [TICK], "next_cursor": None}}
REVIEW_ITEM: JsonObject = {
    "item_id": 1,
    "kind": "agent_crashes",
    "subject": "worker-1",
    "context": {"crashes": 12},
    "opened_at": AT,
    "closed_at": None,
}
