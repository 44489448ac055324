"""Read models of the evolution ledger: its entries, each with the payload its leaf spells.

Stands in the store beside the ledger's queries (L7). What is shown is parsed from the leaf's own bytes, so a
reader sees what was hashed. It never proves anything; proofs are the ledger's.
"""

import json

from sqlalchemy import select

from services.store.sql import Row, find
from services.store.tables import ledger_entry
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_entries(
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002  the name of the filter in the contract
    lap: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of ledger entries, optionally of one type or one lap."""
    statement = select(ledger_entry)
    if type is not None:
        statement = statement.where(ledger_entry.c.type == type)
    if lap is not None:
        statement = statement.where(ledger_entry.c.lap_id == lap)
    found, following = fetch_page(
        tx, statement, ledger_entry.c.index, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [entry_of(row) for row in found], "next_cursor": following}


def get_entry(tx: Tx, index: int) -> JsonObject | None:
    """Return one entry, or None when the ledger is shorter."""
    found = find(tx, ledger_entry, index=index)
    return entry_of(found) if found else None


def entry_of(row: Row) -> JsonObject:
    """Return a ledger row as the Entry of the API."""
    leaf = json.loads(bytes(row["leaf"]))
    return {
        "index": row["index"],
        "type": row["type"],
        "actor": row["actor"],
        "lap": row["lap_id"],
        "at": at(row["at_us"]),
        "payload": leaf.get("payload"),
        "leaf_hash": row["leaf_hash"],
    }
