"""Read models of the evolution ledger: its entries, each with the payload its leaf spells.

Stands in the store beside the ledger's queries (L7). What is shown is parsed from the leaf's own bytes, so a
reader sees what was hashed. It never proves anything; proofs are the ledger's.
"""

import json

from sqlalchemy import select

from services.domain.ledger_schema import EntryType
from services.store.sql import Row, find, rows
from services.store.tables import checkpoint, ledger_entry, ledger_subject
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_entries(
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002  the name of the filter in the contract
    lap: int | None = None,
    subject: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of ledger entries, optionally of one type, one lap, or about one subject."""
    statement = select(ledger_entry)
    if type is not None:
        statement = statement.where(ledger_entry.c.type == type)
    if lap is not None:
        statement = statement.where(ledger_entry.c.lap_id == lap)
    if subject is not None:
        about = select(ledger_subject.c.index).where(ledger_subject.c.subject == subject)
        statement = statement.where(ledger_entry.c.index.in_(about))
    found, following = fetch_page(
        tx, statement, ledger_entry.c.index, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [entry_of(row) for row in found], "next_cursor": following}


def get_entry(tx: Tx, index: int) -> JsonObject | None:
    """Return one entry with the corrections that name it, or None when the ledger is shorter."""
    found = find(tx, ledger_entry, index=index)
    return {**entry_of(found), "corrections": _corrections(tx, index)} if found else None


def _corrections(tx: Tx, index: int) -> list[JsonObject]:
    statement = (
        select(ledger_entry)
        .join(ledger_subject, ledger_subject.c.index == ledger_entry.c.index)
        .where(ledger_subject.c.subject == f"entry:{index}", ledger_entry.c.type == EntryType.CORRECTION)
        .order_by(ledger_entry.c.index)
    )
    found = [entry_of(row) for row in rows(tx, statement)]
    return [
        {"index": row["index"], "at": row["at"], "actor": row["actor"], "reason": row["payload"]["reason"]}
        for row in found
    ]


def list_checkpoints(
    tx: Tx, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None, oldest_first: bool = False
) -> Page:
    """Return a page of the checkpoints that were signed, by size."""
    found, following = fetch_page(
        tx, select(checkpoint), checkpoint.c.size, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    items = [
        {"size": row["size"], "root": row["root"], "signed_at": at(row["signed_at_us"]), "note": row["note"]}
        for row in found
    ]
    return {"items": items, "next_cursor": following}


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
