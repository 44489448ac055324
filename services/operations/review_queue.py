"""What waits for a person: opened by the platform with its context, closed by an operator.

Stands beside every layer. It never acts on an item by itself.
"""

from collections.abc import Collection, Mapping

from services.domain.errors import ConflictError
from services.store import sql, tables
from services.store.tx import Tx

APPEAL = "appeal"
"""The kind of item that an appeal against a suspension is."""
REVIEW = "review_gate"
"""The kind of item that a GATED change is that waits for a person."""
DECIDED = {
    APPEAL: ("an appeal; grant or deny it", "appeal_undecided"),
    REVIEW: ("a review; approve or refuse the change", "review_undecided"),
}
"""Kinds of items whose end is a recorded act, with what to do instead of closing them."""


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
    """Close an item; raise ConflictError when it is not open, or is decided by a recorded act instead."""
    check_undecided(tx, [item_id])
    close(tx, item_id)


def check_undecided(tx: Tx, item_ids: Collection[int]) -> None:
    """Raise ConflictError when any of these items is an open appeal or review: that is decided instead."""
    kinds = list(DECIDED)
    for item in sql.find_all(tx, tables.review_item, id=list(item_ids), kind=kinds, closed_at_us=None):
        words, code = DECIDED[item["kind"]]
        msg = f"review item {item['id']} is {words} with a reason"
        raise ConflictError(msg, field="item_id", code=code)


def close_about(tx: Tx, kind: str, name: str, number: int) -> None:
    """Close the open items of a kind whose context names this number under `name`."""
    for item in sql.find_all(tx, tables.review_item, kind=kind, closed_at_us=None):
        if item["context"].get(name) == number:
            close(tx, item["id"])


def close(tx: Tx, item_id: int) -> None:
    """Close an item of any kind; raise ConflictError when it is not open."""
    if not sql.update(tx, tables.review_item, {"id": item_id, "closed_at_us": None}, closed_at_us=tx.now_us):
        msg = f"review item {item_id} is not open"
        raise ConflictError(msg, field="item_id")
