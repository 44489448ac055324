"""Examples of experiments and of the sandbox for the OpenAPI document: both legs, placebos, holdout.

Stands beside `app.api.examples`, which has the rest. It never holds data of a real
deployment.
"""

from typing import Any

JsonObject = dict[str, Any]

AT = "2026-01-31T12:00:00.000000Z"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TIMEOUT = "research_synthesis.timeout_seconds"


def _arm(assigned: int, successes: int) -> JsonObject:
    rate = round(successes / assigned, 4)
    return {
        "assigned": assigned,
        "resolved": assigned,
        "successes": successes,
        "rate": rate,
        "units": assigned,
        "score": rate,
        "mean_duration_seconds": 0.84,
        "mean_cost_microcredits": 121_400.0,
    }


GUARDRAIL: JsonObject = {
    "metric": "task_cost",
    "margin": 0.2,
    "ceiling": 180_000.0,
    "harm_e": 0.91,
    "harm_threshold": 20.0,
    "proof_e": 3.2,
    "proof_threshold": 20.0,
    "is_proof_required": False,
}
TRIAL: JsonObject = {
    "leg": "trial",
    "verdict": "win",
    "reason": "improvement shown",
    "control": _arm(43, 29),
    "treatment": _arm(41, 39),
    "units": 84,
    "log_e": 3.21,
    "e_value": 24.78,
    "e_max": 24.78,
    "alpha": 0.05,
    "threshold": 20.0,
    "threshold_log_e": 2.9957,
    "harm_e": 0.05,
    "harm_threshold": 20.0,
    "futility_e": 0.07,
    "srm_e": 0.92,
    "srm_threshold": 100.0,
    "guardrails": [GUARDRAIL],
    "estimate": 0.27,
    "lower": 0.02,
    "upper": 0.51,
    "cap_tasks": 400,
    "salt_commitment": HASH,
    "salt": HASH,
    "started_at": AT,
    "closes_at": AT,
    "ended_at": AT,
}
PROBATION: JsonObject = {
    **TRIAL,
    "leg": "probation",
    "verdict": None,
    "reason": None,
    "control": _arm(19, 13),
    "treatment": _arm(102, 96),
    "units": 121,
    "log_e": 5.12,
    "e_value": 167.3,
    "e_max": 171.0,
    "alpha": 0.00134,
    "threshold": 746.3,
    "threshold_log_e": 6.615,
    "futility_e": None,
    "guardrails": [{**GUARDRAIL, "is_proof_required": True}],
    "estimate": None,
    "lower": None,
    "upper": None,
    "cap_tasks": 3000,
    "salt": None,
    "ended_at": None,
}
EXPERIMENT: JsonObject = {
    "experiment_id": 2,
    "kind": "change",
    "proposal_id": 5,
    "lap_id": 1,
    "parameter": TIMEOUT,
    "task_type": "research_synthesis",
    "layer": "research_synthesis",
    "scope": "task",
    "window_seconds": None,
    "metric": "task_success",
    "control_value": "0.9",
    "treatment_value": "1.8",
    "state": "probation",
    "verdict": "win",
    "reason": "improvement shown",
    "salt_commitment": HASH,
    "salt": HASH,
    "control": TRIAL["control"],
    "treatment": TRIAL["treatment"],
    "log_e": 3.21,
    "e_value": 24.78,
    "threshold_log_e": 2.9957,
    "estimate": 0.27,
    "lower": 0.02,
    "upper": 0.51,
    "plan": {"effect": "0.25", "alpha": "0.05", "cap_tasks": 400},
    "assigned_count": 205,
    "treatment_share": 0.85,
    "power": {"admission_tasks": 92, "effect": 0.25, "base_rate": 0.65, "cap_tasks": 400},
    "stream_position": 1,
    "confirm_alpha": 0.00134,
    "confirm_threshold": 746.3,
    "confirm_threshold_log_e": 6.615,
    "trial": TRIAL,
    "probation": PROBATION,
    "started_at": AT,
    "closes_at": AT,
    "ended_at": None,
}
EXPERIMENT_LIFE: JsonObject = {
    **EXPERIMENT,
    "path": [
        {"ordinal": 0, "log_e": 0.31, "arm": 1, "outcome": 1.0, "share": 0.1, "leg": "trial"},
        {"ordinal": 84, "log_e": 3.22, "arm": 1, "outcome": 1.0, "share": 0.85, "leg": "probation"},
    ],
}


def _counts(tasks: int, successes: int) -> JsonObject:
    return {"tasks": tasks, "successes": successes, "rate": round(successes / tasks, 4)}


SANDBOX: JsonObject = {
    "at": AT,
    "alpha": 0.05,
    "hold": None,
    "stream": {
        "rule": "lord",
        "started": 12,
        "confirmed": 3,
        "states": {"confirmed": 3, "futile": 6, "inconclusive": 1, "probation": 1, "rolled_back": 1},
        "next_position": 13,
        "next_alpha": 0.0021,
        "next_threshold": 476.2,
    },
    "placebos": {
        "ended": 41,
        "invalid": 0,
        "wins": 1,
        "rate": 0.0244,
        "lower": 0.0006,
        "upper": 0.1286,
        "mean_e": 0.83,
        "counted_since": None,
        "excess_e": 0.21,
        "freeze_e": 100.0,
        "running": {
            "experiment_id": 54,
            "units": 180,
            "cap_tasks": 400,
            "e_value": 0.71,
            "started_at": AT,
        },
    },
    "freeze": {
        "reason": "5 of 12 placebos won; with both arms alike they should not",
        "ledger_index": 40,
        "frozen_at": AT,
    },
    "holdout": {
        "epoch_id": 1,
        "since": AT,
        "ledger_index": 1,
        "share": 0.03,
        "window_days": 28,
        "counted_since": AT,
        "holdout": _counts(310, 221),
        "rest": _counts(9_870, 8_712),
        "difference": 0.1696,
        "lower": 0.0584,
        "upper": 0.2808,
        "task_types": [
            {"task_type": "research_synthesis", "holdout": _counts(310, 221), "rest": _counts(9_870, 8_712)}
        ],
    },
    "layers": [
        {
            "layer": "research_synthesis",
            "experiments": [
                {
                    "experiment_id": 2,
                    "parameter": TIMEOUT,
                    "kind": "change",
                    "state": "probation",
                    "scope": "task",
                    "treatment_share": 0.85,
                    "assigned_count": 205,
                    "started_at": AT,
                    "closes_at": AT,
                }
            ],
        }
    ],
}
CERTIFICATE: JsonObject = {
    "format": "nacre-certificate/1",
    "experiment_id": 2,
    "kind": "change",
    "checkpoint": {"origin": "nacre", "size": 15, "root": HASH, "note": "nacre\n15\n…\n\n— nacre …\n"},
    "entries": [
        {
            "index": 12,
            "at": AT,
            "type": "VERDICT",
            "actor": "system:learn",
            "lap": 1,
            "payload": {"experiment_id": 2, "verdict": "win", "leg": "trial", "e": "24.78"},
            "leaf": '{"actor":"system:learn","at":"2026-01-31T12:00:00.000000Z",…}',
            "proof": [HASH],
        }
    ],
    "stream": [],
    "legs": [
        {
            "leg": "trial",
            "records": {
                "experiment_id": 2,
                "leg": "trial",
                "records": [[0, "41:5b1f", 1, "0.1", "1.0", "agent:3", 1_200_000, True, []]],
            },
            "claims": [{"m": "0.65", "log_e": "0.31"}],
        }
    ],
}
