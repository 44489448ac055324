"""What must hold after kills: every invariant, everything acknowledged, and every task at its end."""

import json
import time
from collections import Counter

from services.domain.clock import WallClock
from services.domain.states import TASK_ENDS, TaskKind, TaskState
from services.operations import watchdog
from services.store import sql, tables
from services.store.tx import Store

ENDING_SECONDS = 60.0


def breaches(url):
    """Return every breach that the rows show now."""
    store = Store(url, WallClock())
    try:
        with store.read() as tx:
            return [str(breach) for breach in watchdog.check_all(tx)]
    finally:
        store.close()


def rows_of(url, *names):
    """Return the rows of these tables by their first key, one snapshot for all of them."""
    store = Store(url, WallClock())
    try:
        with store.read() as tx:
            return [{row["id"]: row for row in sql.find_all(tx, getattr(tables, name))} for name in names]
    finally:
        store.close()


def everything_ends(url):
    """Wait until no task of a requester is open any more; fail when one stays.

    Investigations, which the platform asks for when it sees enough failures, end with their lap.
    """
    ends = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < ends:
        (tasks,) = rows_of(url, "task")
        asked = [row for row in tasks.values() if row["kind"] == TaskKind.USER]
        left = {row["id"]: str(row["state"]) for row in asked if row["state"] not in TASK_ENDS}
        if not left:
            return Counter(str(row["state"]) for row in asked)
        time.sleep(0.1)
    raise AssertionError(f"A7: after {ENDING_SECONDS} s these tasks have not ended: {left}")


def facts_of(path):
    """Return what was acknowledged, one object per line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def lost(url, facts):
    """Return the acknowledged acts that cannot be found in the database as they were acknowledged."""
    tasks, bids, attempts = rows_of(url, "task", "bid", "attempt")
    check = {
        "post": lambda fact: is_posted(tasks.get(fact["task_id"]), fact),
        "cancel": lambda fact: tasks[fact["task_id"]]["state"] == TaskState.CANCELLED,
        "bid": lambda fact: is_bid(bids.get(fact["bid_id"]), fact),
        "lease": lambda fact: is_leased(attempts.get(fact["token"]), fact),
        "result": lambda fact: is_handed_in(attempts.get(fact["token"]), fact),
    }
    return [fact for fact in facts if not check[fact["act"]](fact)]


def is_posted(row, fact):
    expected = (fact["agent_id"], fact["reserve"])
    return row is not None and (row["requester_id"], row["reserve_price_microcredits"]) == expected


def is_bid(row, fact):
    expected = (fact["task_id"], fact["agent_id"], fact["ask"])
    return row is not None and (row["task_id"], row["agent_id"], row["ask_microcredits"]) == expected


def is_leased(row, fact):
    return row is not None and (row["task_id"], row["agent_id"]) == (fact["task_id"], fact["agent_id"])


def is_handed_in(row, fact):
    is_there = is_leased(row, fact) and row["submitted_at_us"] is not None
    return is_there and row["handoff"]["changed"]["nonce"] == fact["nonce"]
