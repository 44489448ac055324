"""Examples of events as CloudEvents, of webhooks and of their deliveries for the OpenAPI document.

Stands beside `app.api.examples`, which has the rest. It never holds data of a real deployment.
"""

from typing import Any

JsonObject = dict[str, Any]

AT = "2026-01-31T12:00:00.000000Z"
EVENT: JsonObject = {
    "specversion": "1.0",
    "id": "17",
    "source": "nacre/0a1b2c3d4e5f6071",
    "type": "nacre.parameter.promoted",
    "subject": "parameter:research_synthesis.timeout_seconds",
    "time": AT,
    "datacontenttype": "application/json",
    "actor": "system:loop",
    "lapid": "3",
    "data": {
        "experiment_id": 2,
        "proposal_id": 5,
        "parameter": "research_synthesis.timeout_seconds",
        "from": "0.9",
        "to": "1.8",
        "ledger_index": 31,
    },
}
WEBHOOK: JsonObject = {
    "webhook_id": 1,
    "url": "https://hooks.example.org/nacre",
    "types": ["nacre.anomaly.detected", "nacre.parameter.promoted"],
    "description": "the channel of the people on call",
    "is_active": True,
    "pause_reason": None,
    "failures_in_a_row": 0,
    "quiet_until": None,
    "is_behind": False,
    "secret_version": 1,
    "rotated_at": None,
    "created_by": "operator",
    "created_at": AT,
    "deliveries": {"pending": 0, "delivered": 12, "dead": 0, "discarded": 0},
}
WEBHOOK_DELIVERY: JsonObject = {
    "delivery_id": 40,
    "event_id": 17,
    "type": "nacre.parameter.promoted",
    "state": "delivered",
    "attempts": 1,
    "last_status": 204,
    "last_error": None,
    "created_at": AT,
    "next_attempt_at": None,
    "delivered_at": AT,
}
SECRET: JsonObject = {"webhook_id": 1, "secret_version": 1, "secret": "whsec_c2hvd24gb25jZQ=="}
