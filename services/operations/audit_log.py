"""The audit log: the one append to the Merkle log that the evolution ledger is made of.

Stands under every layer that decides something: the entry is written in the deciding transaction, so a
decision and its entry exist together or not at all. The leaf is the exact canonical JSON of the entry
(RFC 8785) in an RFC 6962 tree. It never changes or removes an entry; the database forbids it too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from services.domain.errors import ConflictError, LedgerBrokenError
from services.domain.hash_chain import EMPTY_ROOT, Frontier, leaf_hash
from services.domain.ledger_schema import FORMAT, Entry, EntryType, entry_bytes
from services.domain.ledger_subjects import FORMAT_SUBJECT, subjects_of
from services.store import sql, tables
from services.store.tx import Tx

HEAD = 1


def take_turn(tx: Tx) -> Tx:
    """Wait until no other decision is being written and keep the turn until the transaction ends.

    Every act of governance begins with this, before it reads what it decides on. The answer is the same
    transaction at the instant its entries will bear, so that what is decided about time is what is recorded.
    """
    head = sql.find(tx, tables.ledger_head, lock=True, id=HEAD)
    return tx if head is None else replace(tx, now_us=max(tx.now_us, head["at_us"]))


def append(tx: Tx, kind: EntryType, payload: Mapping[str, object]) -> int:
    """Append one entry and return its index.

    Raises EntryRefusedError for a payload that the audit would refuse, LedgerBrokenError without a head.
    """
    head = sql.find(tx, tables.ledger_head, lock=True, id=HEAD)
    if head is None:
        msg = "the ledger has no head; run `nacre db upgrade` and start the platform once"
        raise LedgerBrokenError(msg)
    at_us = max(tx.now_us, head["at_us"])
    leaf = entry_bytes(Entry(head["size"], at_us, kind, tx.actor, tx.lap, head["root"], dict(payload)))
    hashed = leaf_hash(leaf)
    before = Frontier(head["size"], tuple(bytes.fromhex(text) for text in head["frontier"]))
    frontier = before.append(hashed)
    sql.insert(
        tx,
        tables.ledger_entry,
        index=head["size"],
        type=str(kind),
        actor=tx.actor,
        lap_id=tx.lap,
        at_us=at_us,
        leaf=leaf,
        leaf_hash=hashed.hex(),
    )
    index = head["size"]
    about = [{"subject": name, "index": index} for name in subjects_of(payload)]
    sql.insert_many(tx, tables.ledger_subject, about)
    nodes = before.completed_by(hashed)
    found = [{"level": level, "index": index >> level, "hash": node.hex()} for level, node in nodes]
    sql.insert_many(tx, tables.ledger_node, found)
    moved = sql.update(
        tx,
        tables.ledger_head,
        {"id": HEAD, "size": head["size"]},
        size=frontier.size,
        frontier=[node.hex() for node in frontier.hashes],
        root=frontier.root().hex(),
        at_us=at_us,
    )
    if not moved:
        msg = "another writer appended to the ledger first"
        raise ConflictError(msg)
    return int(head["size"])


def format_now(tx: Tx) -> int:
    """Return the format that the ledger's entries follow now; 0 before its first entry."""
    about = sql.find_all(tx, tables.ledger_subject, subject=FORMAT_SUBJECT, order_by="index")
    if not about:
        return min(1, size(tx))  # the first format did not state itself
    newest = sql.find(tx, tables.ledger_entry, index=about[-1]["index"])
    return 1 if newest is None else int(json.loads(bytes(newest["leaf"]))["payload"]["format"])


def raise_format(tx: Tx) -> None:
    """Say in the ledger that entries follow today's format from here on, where they did not yet.

    A ledger of the first format stays one: what its experiments began with is not recorded in it. What later
    formats brought (gates, extensions) is not done on it.
    """
    if 1 < format_now(tx) < FORMAT:
        append(tx, EntryType.FORMAT, {"format": FORMAT})


def size(tx: Tx) -> int:
    """Return how many entries the log has: the index of the next one."""
    head = sql.find(tx, tables.ledger_head, id=HEAD)
    return 0 if head is None else int(head["size"])


def create_head(tx: Tx) -> bool:
    """Create the empty head once; tell whether it was created now."""
    if sql.find(tx, tables.ledger_head, id=HEAD) is not None:
        return False
    sql.insert(tx, tables.ledger_head, id=HEAD, size=0, frontier=[], root=EMPTY_ROOT.hex(), at_us=tx.now_us)
    return True


def keep_blob(tx: Tx, kind: str, content: bytes) -> str:
    """Keep `content` under its SHA-256 and return the digest; entries only name the digest.

    A text that was erased and is said again is kept again, until it is erased again.
    """
    digest = hashlib.sha256(content).hexdigest()
    kept = sql.find(tx, tables.blob, sha256=digest)
    if kept is None:
        sql.insert(tx, tables.blob, sha256=digest, kind=kind, content=content)
    elif kept["erased_at_us"] is not None:
        anew = {"kind": kind, "content": content, "erased_at_us": None}
        sql.update(tx, tables.blob, {"sha256": digest}, **anew)
    return digest
