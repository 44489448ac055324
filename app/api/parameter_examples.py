"""Examples of what the routes of parameters answer: one of each shape, for the OpenAPI document.

Stand beside `app.api.examples`. They are checked against real answers in the tests.
"""

from app.api.answers import JsonObject
from app.api.examples import AT, TIMEOUT

CHANGE: JsonObject = {"parameter": TIMEOUT, "from": "0.9", "to": "1.8", "version": 1}
OVERRIDE: JsonObject = {
    "name": TIMEOUT,
    "before": "0.9",
    "value": "1.8",
    "version": 2,
    "read_back": "1.8",
    "ledger_index": 14,
}
IMPORT: JsonObject = {"dry_run": False, "changes": [CHANGE], "done": [OVERRIDE]}
EXPORT: JsonObject = {
    "exported_at": AT,
    "ledger_size": 15,
    "config_sha256": "5e" * 32,
    "parameters": {TIMEOUT: {"value": "1.8", "version": 2}},
}
POINT: JsonObject = {"at": AT, "ledger_size": 15, "parameters": 120, "config_sha256": "5e" * 32}
DIFF: JsonObject = {
    "from": POINT,
    "to": POINT,
    "changes": [
        {
            "parameter": TIMEOUT,
            "from": "0.9",
            "to": "1.8",
            "from_version": 1,
            "to_version": 2,
            "source": "override",
            "actor": "operator",
            "reason": "the new agents need longer",
            "experiment_id": None,
            "ledger_index": 14,
            "changed_at": AT,
        }
    ],
}
OF_TASK: JsonObject = {
    "task_id": 120,
    "type": "research_synthesis",
    "state": "settled",
    "is_fixed": True,
    "fixed_at": AT,
    "is_holdout": False,
    "note": "these values were fixed at the task's first award; retries and take-overs keep them",
    "parameters": [
        {"name": TIMEOUT, "value": "1.8", "source": "arm", "version": 1, "arm": 1, "experiment_id": 2}
    ],
}
