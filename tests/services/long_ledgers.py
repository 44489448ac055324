"""Long ledgers and tampered ones: entries appended by the thousand, and rows changed underneath the platform.

What is appended is what the platform itself would write, entry for entry; only the statements are fewer.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Table, text, update

from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_schema import Entry, EntryType, entry_bytes
from services.operations import audit_log
from services.store import sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 5_000
STANDING = {"agent": "agent:1", "from": "shadow", "to": "probation", "reason": "long"}
PAUSED = {"act": "pause_job", "job": "series_pruning", "reason": "it says nothing of the config"}


def grow(tx: Tx, count: int, kind_of: Callable[[int], EntryType] = lambda _: EntryType.STANDING) -> None:
    """Append so many entries of no weight: STANDING, or where `kind_of` (of 0, 1, …) says so, OVERRIDE."""
    head = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
    assert head is not None
    frontier = Frontier(head["size"], tuple(bytes.fromhex(node) for node in head["frontier"]))
    entries: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    for number in range(count):
        index, kind = frontier.size, kind_of(number)
        payload, actor = (PAUSED, "operator") if kind is EntryType.OVERRIDE else (STANDING, "system:test")
        leaf = entry_bytes(Entry(index, head["at_us"], kind, actor, None, frontier.root().hex(), payload))
        hashed = leaf_hash(leaf)
        entries.append({"index": index, "type": str(kind), "actor": actor, "lap_id": None,
                        "at_us": head["at_us"], "leaf": leaf, "leaf_hash": hashed.hex()})  # fmt: skip
        nodes += [{"level": level, "index": index >> level, "hash": node.hex()}
                  for level, node in frontier.completed_by(hashed)]  # fmt: skip
        frontier = frontier.append(hashed)
        if len(entries) == BATCH or number == count - 1:
            sql.insert_many(tx, tables.ledger_entry, entries)
            sql.insert_many(tx, tables.ledger_node, nodes)
            entries, nodes = [], []
    sql.update(tx, tables.ledger_head, {"id": audit_log.HEAD}, size=frontier.size,
               root=frontier.root().hex(), frontier=[node.hex() for node in frontier.hashes])  # fmt: skip


def allow_changes(tx: Tx) -> None:
    """Take away what keeps entries from being changed."""
    is_postgresql = tx.is_postgresql
    names = ("immutable ON ledger_entry",) if is_postgresql else ("no_update", "no_delete")
    for name in names:
        tx.connection.execute(text(f"DROP TRIGGER ledger_entry_{name}"))


def put(tx: Tx, table: Table, where: dict[str, Any], values: dict[str, Any]) -> Row:
    """Change one row underneath the platform; return the values that it had."""
    row = sql.find(tx, table, **where)
    assert row is not None
    conditions = [table.c[name] == value for name, value in where.items()]
    assert tx.connection.execute(update(table).where(*conditions).values(**values)).rowcount == 1
    return {name: row[name] for name in values}
