"""The example of a pattern for the OpenAPI document.

Stands beside the routes; the tests hold it to the shape of the read model. It never holds data of a real
deployment.
"""

from app.api.examples import AT, TIMEOUT, JsonObject

PATTERN: JsonObject = {
    "pattern_id": 9,
    "kind": "setting",
    "task_type": "research_synthesis",
    "agent_id": None,
    "summary": f"{TIMEOUT} = 90: 214 of 320 succeeded",
    "tasks": 320,
    "failures": 106,
    "days": 1,
    "first_seen_at": AT,
    "last_seen_at": AT,
    "facts": {
        "parameter": TIMEOUT,
        "value": "90",
        "version": 1,
        "source": "default",
        "successes": 214,
        "failures": 106,
        "reasons": {"timed_out": 106},
        "timed_out": 106,
        "mean_duration_seconds": 48.2,
        "durations": [{"seconds": 47.9, "tasks": 31}],
        "by_day": [{"day": "2026-01-31", "tasks": 320, "failures": 106, "timed_out": 106}],
    },
}
