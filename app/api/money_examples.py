"""Examples of what the API answers about money and budgets, for the OpenAPI document and its readers.

Stands beside `app.api.examples`. It never holds data of a real deployment.
"""

from app.api.examples import AT, JsonObject

ACCOUNT: JsonObject = {
    "account_id": 9,
    "account": "agent:7",
    "unit": "microcredits",
    "balance": 100_000_132_000,
    "floor": 0,
}
STATEMENT: JsonObject = {
    "account": "agent:7",
    "from": AT,
    "to": None,
    "opening_balance_microcredits": 100_000_000_000,
    "closing_balance_microcredits": 100_000_132_000,
    "live_balance_microcredits": 100_000_132_000,
    "totals": [
        {
            "kind": "pay",
            "transfers": 1,
            "received_microcredits": 132_000,
            "paid_microcredits": 0,
            "net_microcredits": 132_000,
        }
    ],
    "items": [
        {
            "transfer_id": 512,
            "at": AT,
            "kind": "pay",
            "task_id": 41,
            "counterparty": "escrow",
            "amount_microcredits": 132_000,
            "balance_microcredits": 100_000_132_000,
        }
    ],
    "next_cursor": None,
}
AUDIT: JsonObject = {
    "ok": True,
    "checks": [
        {
            "invariant": "M4",
            "says": "escrow is the sum of the open holds of tasks",
            "ok": True,
            "checked": 12,
            "differences": [],
            "differences_more": 0,
        }
    ],
}
BUDGET: JsonObject = {
    "budget": "agent:7",
    "scope": "agent",
    "resource": "tokens",
    "period": "2026-01-31",
    "limit": 200_000,
    "cap": 200_000,
    "reserved": 1_500,
    "spent": 42_000,
    "free": 156_500,
    "renews_at": AT,
}
BUDGETS: JsonObject = {"items": [BUDGET]}
HOLD: JsonObject = {"hold_id": 3, "expires_at": AT, "budgets": [BUDGET]}
RESOLVED: JsonObject = {"hold_id": 3, "state": "settled", "held": 1_500, "settled": 900, "returned": 600}
HOLD_KEPT: JsonObject = {
    "hold_id": 3,
    "agent_id": 7,
    "resource": "tokens",
    "amount": 1_500,
    "state": "settled",
    "settled": 900,
    "task_id": 41,
    "workflow": "report",
    "parent_hold_id": None,
    "held_at": AT,
    "expires_at": AT,
    "resolved_at": AT,
}
LIMIT: JsonObject = {
    "limit_id": 2,
    "budget": "agent:7",
    "resource": "tokens",
    "amount": 500_000,
    "actor": "operator",
    "reason": "a larger report",
    "set_at": AT,
}
