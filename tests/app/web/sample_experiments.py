"""A made-up experiment with both legs, and a made-up sandbox, in the shapes of the read models."""

import math

from tests.app.web.sample_tasks import at

CONFIRM = 0.00134


def sample_arm(path, arm):
    mine = [point for point in path if point["arm"] == arm]
    won = sum(point["outcome"] for point in mine)
    return {
        "assigned": len(mine) + 1,
        "resolved": len(mine),
        "successes": int(won),
        "rate": won / len(mine) if mine else None,
        "units": len(mine),
        "score": won / len(mine) if mine else None,
        "mean_duration_seconds": 1.2,
        "mean_cost_microcredits": 121_000.0,
    }


def sample_leg(name, path, alpha, *, verdict):
    last = path[-1]["log_e"] if path else 0.0
    return {
        "leg": name,
        "verdict": verdict,
        "reason": "improvement shown" if verdict else None,
        "control": sample_arm(path, 0),
        "treatment": sample_arm(path, 1),
        "units": len(path),
        "log_e": last,
        "e_value": math.exp(last),
        "e_max": math.exp(last),
        "alpha": alpha,
        "threshold": 1 / alpha,
        "threshold_log_e": -math.log(alpha),
        "harm_e": 0.2,
        "harm_threshold": 20.0,
        "futility_e": 0.3 if name == "trial" else None,
        "srm_e": 0.9,
        "srm_threshold": 100.0,
        "guardrails": [
            {
                "metric": metric,
                "margin": 0.2,
                "ceiling": ceiling,
                "harm_e": 0.8,
                "harm_threshold": 20.0,
                "proof_e": proof_e,
                "proof_threshold": 20.0,
                "is_proof_required": name == "probation",
            }
            for metric, ceiling, proof_e in (("task_cost", 180_000.0, 3.1), ("task_duration", 4.5, 31.0))
        ],
        "estimate": 0.272 if verdict else None,
        "lower": 0.041 if verdict else None,
        "upper": 0.488 if verdict else None,
        "cap_tasks": 400 if name == "trial" else 3_000,
        "salt_commitment": "5a" * 32,
        "salt": "17" * 16 if verdict else None,
        "started_at": at(56),
        "closes_at": at(9000),
        "ended_at": at(101) if verdict else None,
    }


def sample_experiment(path, *, is_running):
    """Return experiment 5: on its ramp while the sample runs, else in probation."""
    path = path[:21] if is_running else path
    ramp = 21 if is_running else 10
    told = [{**point, "share": 0.1 if n < ramp else 0.5, "leg": "trial"} for n, point in enumerate(path)]
    trial = sample_leg("trial", path, 0.05, verdict=None if is_running else "win")
    later = []
    if not is_running:
        last = path[-1]
        later = [
            {
                "ordinal": last["ordinal"] + 3 + n,
                "log_e": last["log_e"] + 0.03 * n,
                "arm": int(n % 7 != 0),
                "outcome": float(n % 11 != 0),
            }
            for n in range(40)
        ]
        told += [{**point, "share": 0.85, "leg": "probation"} for point in later]
    repeated = (
        "verdict", "reason", "salt_commitment", "salt", "control", "treatment", "log_e", "e_value",
        "threshold_log_e", "estimate", "lower", "upper",
    )  # fmt: skip
    return {
        "experiment_id": 5,
        "kind": "change",
        "proposal_id": 4,
        "lap_id": 3,
        "parameter": "research_synthesis.timeout_seconds",
        "task_type": "research_synthesis",
        "layer": "research_synthesis",
        "scope": "task",
        "window_seconds": None,
        "metric": "task_success",
        "control_value": "0.9",
        "treatment_value": "1.8",
        "state": "running" if is_running else "probation",
        **{name: trial[name] for name in repeated},
        "plan": {
            "alpha": "0.05",
            "minimum_tasks": 20,
            "effect": "0.25",
            "cap_tasks": 400,
            "ramp_share": "0.1",
        },
        "assigned_count": len(told) + 2,
        "treatment_share": 0.1 if is_running else 0.85,
        "power": {"admission_tasks": 71, "effect": 0.25, "base_rate": 0.67, "cap_tasks": 400},
        "stream_position": 3,
        "confirm_alpha": CONFIRM,
        "confirm_threshold": 1 / CONFIRM,
        "confirm_threshold_log_e": -math.log(CONFIRM),
        "trial": trial,
        "probation": None if is_running else sample_leg("probation", later, CONFIRM, verdict=None),
        "started_at": at(56),
        "closes_at": at(9000),
        "ended_at": None,
        "path": told,
    }


def sample_counts(tasks, successes):
    return {"tasks": tasks, "successes": successes, "rate": successes / tasks if tasks else None}


def sample_holdout():
    return {
        "epoch_id": 1,
        "since": at(-3000),
        "ledger_index": 1,
        "share": 0.03,
        "window_days": 28,
        "counted_since": at(-3000),
        "holdout": sample_counts(310, 221),
        "rest": sample_counts(9_870, 8_712),
        "difference": 0.1696,
        "lower": 0.0584,
        "upper": 0.2808,
        "task_types": [
            {
                "task_type": "research_synthesis",
                "holdout": sample_counts(310, 221),
                "rest": sample_counts(9_870, 8_712),
            }
        ],
    }


SAMPLE_LAYER = {
    "layer": "research_synthesis",
    "experiments": [
        {
            "experiment_id": 5,
            "parameter": "research_synthesis.timeout_seconds",
            "kind": "change",
            "state": "probation",
            "scope": "task",
            "treatment_share": 0.85,
            "assigned_count": 120,
            "started_at": at(56),
            "closes_at": at(9000),
        }
    ],
}


def sample_sandbox(reason, *, is_frozen):
    placebo = {"experiment_id": 1, "units": 180, "cap_tasks": 400, "e_value": 0.7, "started_at": at(1)}
    return {
        "at": at(130),
        "alpha": 0.05,
        "stream": {
            "rule": "lord",
            "started": 3,
            "confirmed": 1,
            "states": {"confirmed": 1, "futile": 1, "running": 1},
            "next_position": 4,
            "next_alpha": 0.002,
            "next_threshold": 500.0,
        },
        "placebos": {
            "ended": 41,
            "invalid": 1,
            "wins": 2,
            "rate": 0.05,
            "lower": 0.006,
            "upper": 0.169,
            "mean_e": 0.83,
            "counted_since": None,
            "excess_e": 0.4,
            "freeze_e": 100.0,
            "running": placebo,
        },
        "freeze": {"reason": reason, "ledger_index": 18, "frozen_at": at(60)} if is_frozen else None,
        "holdout": sample_holdout(),
        "layers": [SAMPLE_LAYER],
    }
