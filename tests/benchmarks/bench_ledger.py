"""What proofs of the ledger cost with many entries, beside one indexed SELECT measured in the same run.

`make bench` prints the figures. Asserted are that every proof holds, and that one takes less than its bar.
"""

import os
import random
import statistics
import time

from services import evolution_ledger
from services.domain.clock import WallClock
from services.domain.hash_chain import Frontier, leaf_hash, verify_consistency, verify_inclusion
from services.operations import audit_log
from services.store import sql, tables
from services.store.tx import Store

ENTRIES = int(os.environ.get("ENTRIES", "100000"))
SEED = int(os.environ.get("SEED", "6"))
RUNS = 2_000
BATCH = 5_000
BAR_SECONDS = 0.001


def fill(store):
    """Write so many entries with the nodes and the head that appending them one by one leaves."""
    with store.write(actor="bench") as tx:
        audit_log.create_head(tx)
        frontier, entries, nodes = Frontier(), [], []
        for index in range(ENTRIES):
            leaf = b'{"index":%d}' % index
            hashed = leaf_hash(leaf)
            entries.append({"index": index, "type": "STANDING", "actor": "bench", "lap_id": None,
                            "at_us": index, "leaf": leaf, "leaf_hash": hashed.hex()})  # fmt: skip
            nodes += [
                {"level": level, "index": index >> level, "hash": node.hex()}
                for level, node in frontier.completed_by(hashed)
            ]
            frontier = frontier.append(hashed)
            if len(entries) == BATCH or index == ENTRIES - 1:
                sql.insert_many(tx, tables.ledger_entry, entries)
                sql.insert_many(tx, tables.ledger_node, nodes)
                entries, nodes = [], []
        sql.update(tx, tables.ledger_head, {"id": audit_log.HEAD}, size=ENTRIES, root=frontier.root().hex(),
                   frontier=[node.hex() for node in frontier.hashes])  # fmt: skip


def median_seconds(act, choices):
    for choice in choices[:50]:
        act(*choice)
    took = []
    for choice in choices:
        began = time.perf_counter()
        act(*choice)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def test_proofs_among_many_entries(migrated_database_url):
    store = Store(migrated_database_url, WallClock())
    fill(store)
    draw = random.Random(SEED)
    indexes = [draw.randrange(ENTRIES) for _ in range(RUNS)]
    older = [draw.randrange(index + 1, ENTRIES + 1) for index in indexes]
    with store.read() as tx:
        for index, size in zip(indexes[:200], older, strict=False):
            told = evolution_ledger.inclusion(tx, index, size)
            proof = [bytes.fromhex(node) for node in told["proof"]]
            leaf, root = bytes.fromhex(told["leaf_hash"]), bytes.fromhex(told["root"])
            assert verify_inclusion(leaf, index, size, proof, root)
            grown = evolution_ledger.consistency(tx, size, ENTRIES)
            proof = [bytes.fromhex(node) for node in grown["proof"]]
            assert grown["from_root"] == told["root"]
            assert grown["to_root"] == evolution_ledger.head(tx)["root"]
            assert verify_consistency(size, ENTRIES, root, bytes.fromhex(grown["to_root"]), proof)
        acts = {
            "limit: one indexed SELECT": (
                lambda index: sql.find(tx, tables.ledger_entry, index=index), [(i,) for i in indexes]),
            "inclusion in the whole ledger": (
                lambda index: evolution_ledger.inclusion(tx, index, None), [(i,) for i in indexes]),
            "inclusion in an older size": (
                lambda index, size: evolution_ledger.inclusion(tx, index, size),
                list(zip(indexes, older, strict=True))),
            "consistency with an older size": (
                lambda size: evolution_ledger.consistency(tx, size, ENTRIES), [(s,) for s in older]),
        }  # fmt: skip
        took = {name: median_seconds(*act) for name, act in acts.items()}
    for name, seconds in took.items():
        what = f"{store.engine.dialect.name}, {ENTRIES:,} entries, {name}"
        print(f"\n  {what:<72} {seconds * 1e6:>8,.0f} µs (median)", end="")
    store.close()
    assert took["inclusion in the whole ledger"] < BAR_SECONDS
