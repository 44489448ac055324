"""What the audit by the clock and the guard of promotions cost in a long ledger, beside one indexed SELECT.

`make bench` prints the figures. Asserted are that all of it passes in bounded parts, and the guard's bar.
"""

import os
import statistics
import threading
import time

from services.domain.ledger_schema import EntryType
from services.evolution_ledger import Auditor, auditing
from services.operations import audit_log, production_config
from services.store import config, sql, tables
from tests.services import long_ledgers

ENTRIES = int(os.environ.get("ENTRIES", "100000"))
OVERRIDES = ENTRIES // 10
RUNS = 200
BAR_SECONDS = 0.010


def say(store, what, value, unit):
    name = f"{store.engine.dialect.name}, {ENTRIES:,} entries, {what}"
    print(f"\n  {name:<88} {value:>10,.1f} {unit}", end="")


def median_seconds(act):
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def test_audit_in_parts_while_another_writes(platform):
    store = platform.store
    with store.write(actor="bench") as tx:
        long_ledgers.grow(tx, ENTRIES - audit_log.size(tx))
    auditor, parts, waited, ended = Auditor(), [], [], threading.Event()

    def write_on():
        while not ended.wait(0.02):
            began = time.perf_counter()
            with store.write(actor="bench"):
                waited.append(time.perf_counter() - began)

    other = threading.Thread(target=write_on)
    other.start()
    taken = 0
    while True:
        with store.write(actor="bench") as tx:
            began = time.perf_counter()
            count = auditor.take_part(tx)
            parts.append(time.perf_counter() - began)
        assert count <= auditing.PART
        if not count:
            break
        taken += count
    ended.set()
    other.join()
    with store.read() as tx:
        check = sql.find(tx, tables.health_check, component="ledger", measurement="full_audit")
    assert (taken, check["status"], check["observed"]) == (ENTRIES, "pass", ENTRIES)
    say(store, f"audit in {len(parts)} parts, in all", sum(parts), "s")
    say(store, "a part, median", statistics.median(parts) * 1e3, "ms")
    say(store, "a part, longest", max(parts) * 1e3, "ms")
    say(store, f"another thread's {len(waited)} writes waited at most", max(waited) * 1e3, "ms")


def test_guard_with_nothing_new(platform):
    store = platform.store
    spread = ENTRIES // OVERRIDES
    for place, kind_of in {
        "spread": lambda number: EntryType.STANDING if number % spread else EntryType.OVERRIDE,
        "the newest": lambda _: EntryType.OVERRIDE,
        "followed by STANDING": lambda _: EntryType.STANDING,
    }.items():
        with store.write(actor="bench") as tx:
            long_ledgers.grow(tx, ENTRIES if place == "spread" else OVERRIDES, kind_of)
        with store.write(actor="bench") as tx:
            assert auditing.guard(tx) is None
        with store.write(actor="bench") as tx:
            live = production_config.config_hash(production_config.snapshot(tx))
            assert config.last_recorded_hash(tx) == live
            limit = median_seconds(lambda: sql.find(tx, tables.ledger_entry, index=ENTRIES // 2))
            guard = median_seconds(lambda: auditing.guard(tx))
            began = time.perf_counter()
            config.last_recorded_hash(tx)
            walk = time.perf_counter() - began
        say(store, f"OVERRIDE without a parameter {place}: one indexed SELECT", limit * 1e3, "ms")
        say(store, f"OVERRIDE without a parameter {place}: guard, median", guard * 1e3, "ms")
        say(store, f"OVERRIDE without a parameter {place}: whole search for the hash", walk * 1e3, "ms")
        assert guard < BAR_SECONDS
