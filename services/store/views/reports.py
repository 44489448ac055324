"""Read models of scheduled reports: every schedule with its last delivery, or why it failed.

Stand under the API, the pages and the command line. They never tell what a report says.
"""

from typing import Any

from services.domain.clock import to_rfc3339
from services.store import reports
from services.store.sql import Row
from services.store.tx import Tx


def list_report_schedules(tx: Tx) -> dict[str, Any]:
    """Return every schedule (there are at most 100), by name."""
    return {"items": [_schedule(tx, row) for row in reports.schedules(tx)], "next_cursor": None}


def get_report_schedule(tx: Tx, name: str) -> dict[str, Any] | None:
    """Return one schedule, or None."""
    return next((_schedule(tx, row) for row in reports.schedules(tx) if row["name"] == name), None)


def _schedule(tx: Tx, row: Row) -> dict[str, Any]:
    last = reports.last_delivery(tx, row["id"])
    return {
        "name": row["name"],
        "every": row["period"],
        "formats": list(row["formats"]),
        "announced": bool(row["is_announced"]),
        "next_at": to_rfc3339(row["next_at_us"]),
        "last_error": row["last_error"],
        "created_by": row["created_by"],
        "created_at": to_rfc3339(row["created_at_us"]),
        "last_delivery": None
        if last is None
        else {
            "from": to_rfc3339(last["from_us"]),
            "to": to_rfc3339(last["to_us"]),
            "ledger_size": last["ledger_size"],
            "files": list(last["files"]),
            "delivered_at": to_rfc3339(last["delivered_at_us"]),
        },
    }
