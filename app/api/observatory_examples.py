"""What the observatory's answers look like: examples that the OpenAPI document shows.

Stand beside the routes. They hold no logic.
"""

from app.api.examples import AT, JsonObject

POINT: JsonObject = {
    "window_start": AT,
    "window_end": AT,
    "numerator": 46,
    "denominator": 70,
    "value": 0.6571428571428571,
    "sd": None,
    "lowest": None,
    "highest": None,
    "p50": None,
    "p95": None,
    "p99": None,
    "corrections": 0,
}
SUMMARY: JsonObject = {**POINT, "windows": 24}
METRIC: JsonObject = {
    "metric": "task_success",
    "kind": "proportion",
    "unit": "tasks",
    "family": "tasks",
    "bad": "fall",
    "dimensions": ["platform", "task_type", "agent", "model"],
    "watched": ["task_type", "platform"],
    "summary": "Users' tasks whose result was verified, of all that were settled, failed or expired.",
    "is_share": True,
    "newest": POINT,
}
KEY: JsonObject = {"key": "research_synthesis", "newest_window_end": AT}
CORRECTION: JsonObject = {
    "correction_id": 3,
    "metric": "task_success",
    "dimension": "platform",
    "key": "all",
    "window_end": AT,
    "numerator": 1,
    "denominator": 1,
    "corrected_at": AT,
}
