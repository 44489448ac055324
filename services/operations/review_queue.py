"""What waits for a person: opened by the platform with its context, closed by an operator.

Stands beside every layer. It never acts on an item by itself.
"""

from collections.abc import Mapping

from services.domain.errors import ConflictError
from services.store import sql, tables
from services.store.tx import Tx


def open_item(tx: Tx, *, kind: str, subject: str, context: Mapping[str, object]) -> int:
    """Queue an item and return its id."""
    return sql.insert(
        tx,
        tables.review_item,
        kind=kind,
        subject=subject[:120],
        context=dict(context),
        opened_at_us=tx.now_us,
    )


def close_item(tx: Tx, item_id: int) -> None:
    """Close an item; raise ConflictError when it is not open."""
    if not sql.update(tx, tables.review_item, {"id": item_id, "closed_at_us": None}, closed_at_us=tx.now_us):
        msg = f"review item {item_id} is not open"
        raise ConflictError(msg, field="item_id")
