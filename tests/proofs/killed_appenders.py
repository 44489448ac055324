"""Processes that append to the ledger and are killed with SIGKILL in mid-append; what they leave behind.

Each child writes transactions of a few entries as fast as it can and says over a pipe how many are committed.
"""

import os
import random
import signal
import time

from services.domain.clock import WallClock
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_schema import EntryType, read_entry, read_envelope
from services.domain.ledger_subjects import subjects_of
from services.operations import audit_log
from services.store import sql, tables
from services.store.tx import Store

LONGEST_SECONDS = 0.03


def append_for_ever(url, seed, told):
    """Append transactions of one to six entries until killed; write a byte for every committed one."""
    draw, store = random.Random(seed), Store(url, WallClock())
    while True:
        count = draw.randint(1, 6)
        with store.write(actor="operator") as tx:
            for number in range(count):
                audit_log.append(tx, EntryType.CORRECTION, {"corrects": 0, "reason": f"remark {number}"})
        os.write(told, bytes([count]))


def killed_once(url, seed):
    """Kill an appender at a random instant after its first commit; return how many entries it committed."""
    draw = random.Random(seed)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            append_for_ever(url, seed, told)
        finally:
            os._exit(1)
    os.close(told)
    counts = os.read(heard, 1)
    assert counts, "the appender ended by itself"
    time.sleep(draw.random() * LONGEST_SECONDS)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    while more := os.read(heard, 65_536):
        counts += more
    os.close(heard)
    return sum(counts)


def what_is_wrong(url):
    """Return (entries, problems): leaves chain from the first, and head, nodes and subjects are theirs."""
    store = Store(url, WallClock())
    with store.read() as tx:
        head = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
        entries = sql.find_all(tx, tables.ledger_entry, order_by="index")
        kept = {(row["level"], row["index"]): row["hash"]
                for row in sql.find_all(tx, tables.ledger_node, order_by="level")}  # fmt: skip
        about = {(row["subject"], row["index"])
                 for row in sql.find_all(tx, tables.ledger_subject, order_by="index")}  # fmt: skip
    store.close()
    frontier, nodes, subjects, wrong = Frontier(), {}, set(), []
    for index, row in enumerate(entries):
        leaf = bytes(row["leaf"])
        entry = read_entry(read_envelope(leaf))
        hashed = leaf_hash(leaf)
        if (entry.index, entry.previous_root, row["leaf_hash"]) != (
            index,
            frontier.root().hex(),
            hashed.hex(),
        ):
            wrong.append(f"entry {index} does not follow those before it")
        nodes |= {(level, index >> level): node.hex() for level, node in frontier.completed_by(hashed)}
        subjects |= {(name, index) for name in subjects_of(entry.payload)}
        frontier = frontier.append(hashed)
    told = (head["size"], head["root"], list(head["frontier"]))
    if told != (frontier.size, frontier.root().hex(), [node.hex() for node in frontier.hashes]):
        wrong.append(f"the head says {told[:2]}, the leaves {frontier.size} and {frontier.root().hex()}")
    if kept != nodes:
        wrong.append(f"{len(kept.items() ^ nodes.items())} nodes are not those of the leaves")
    if about != subjects:
        wrong.append(f"{len(about ^ subjects)} subjects are not those of the entries")
    return len(entries), wrong
