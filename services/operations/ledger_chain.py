"""The ledger's chain, verified from a point that was verified before: leaves, order, tree, and the head.

Stands under the platform's checks of itself and under the guard of promotions. It looks at bytes alone, never
at what an entry means, and it never mends anything.
"""

import json
from dataclasses import dataclass
from typing import Final

from services.domain.clock import to_rfc3339
from services.domain.hash_chain import EMPTY_ROOT, Frontier, leaf_hash
from services.operations import audit_log
from services.store import health as queries
from services.store import ledger, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds; `wrong` is what ended it at entry `index`, None where nothing did."""

    frontier: Frontier
    index: int | None = None
    wrong: str | None = None


def head_of(tx: Tx) -> tuple[int, bytes]:
    """Return size and root that the head states; those of no entries before the first."""
    head = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
    return (0, EMPTY_ROOT) if head is None else (int(head["size"]), bytes.fromhex(head["root"]))


def verify_on(tx: Tx, frontier: Frontier, most: int | None = None) -> Verified:
    """Verify the entries after `frontier`, its own last one included: all of them, or the first `most`."""
    left = most
    while True:
        size = PAGE if left is None else min(PAGE, left)
        first = max(0, frontier.size - 1)
        page = queries.entries_from(tx, first, size + 1)
        start = frontier.size
        nodes: dict[tuple[int, int], bytes] = {}
        for row in page:
            wrong = _wrong_with(row)
            if wrong is None and row["index"] >= frontier.size:
                wrong = _wrong_place(row, frontier)
            if wrong is None and row["index"] == frontier.size:
                hashed = leaf_hash(bytes(row["leaf"]))
                nodes |= {
                    (level, row["index"] >> level): node for level, node in frontier.completed_by(hashed)
                }
                frontier = frontier.append(hashed)
            if wrong is not None:
                return Verified(frontier, row["index"], wrong)
        if differing := nodes.items() - ledger.nodes(tx, nodes).items():
            (level, index), _ = min(differing)
            told = f"node {index} of level {level} of the tree is not the root of its leaves"
            return Verified(frontier, index << level, told)
        left = None if left is None else left - size
        if frontier.size == start or (left is not None and left <= 0):
            return _against_head(tx, frontier, is_all=len(page) <= size)


def _against_head(tx: Tx, frontier: Frontier, *, is_all: bool) -> Verified:
    size, root = head_of(tx)
    if size < frontier.size:
        return Verified(frontier, size, f"the ledger had {frontier.size} entries and has {size} now")
    if size == frontier.size and root != frontier.root():
        return Verified(frontier, max(0, size - 1), "the root is not that of the entries")
    if size > frontier.size and is_all:
        return Verified(frontier, frontier.size, f"the head speaks of {size} entries, this one is missing")
    return Verified(frontier)


def _wrong_place(row: Row, frontier: Frontier) -> str | None:
    if row["index"] != frontier.size:
        return f"entry {frontier.size} is missing"
    told = json.loads(row["leaf"])["previous_root"] == frontier.root().hex()
    return None if told else f"entry {row['index']} does not follow the entries before it"


def _wrong_with(row: Row) -> str | None:
    """Return what is wrong with one entry's row, or None."""
    leaf = bytes(row["leaf"])
    if leaf_hash(leaf).hex() != row["leaf_hash"]:
        return f"entry {row['index']} is not what its hash says"
    told = json.loads(leaf)
    written = (told["index"], told["type"], told["actor"], told["lap"], told["at"])
    kept = (row["index"], row["type"], row["actor"], row["lap_id"], to_rfc3339(row["at_us"]))
    return None if written == kept else f"entry {row['index']} is listed otherwise than it is written"
