"""The lap as figures: real laps through `nacre lap`, the scripted lap, the offline audit, the command itself.

Run by `make bench`. Laps are separate processes on a fresh database each; medians are printed.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from app.simulation.world import World
from services.domain.hash_chain import Frontier, leaf_hash
from services.domain.ledger_audit import audit_ledger
from services.domain.ledger_schema import Entry, EntryType, entry_bytes

ROOT = Path(__file__).parents[2]
NACRE = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())"]
LAPS = 5
ENTRIES = 100_000


def cpu_seconds_of(command, environment=None):
    """Run a command and return (CPU seconds of it and its children, its standard output)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=200)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, answer


def test_real_laps(tmp_path):
    seconds, tasks, base, treated = [], [], [], []
    for number in range(LAPS):
        environment = {**os.environ, "NACRE_VAR": str(tmp_path / f"lap_{number}")}
        _, answer = cpu_seconds_of([*NACRE, "lap", "--json", "--port", "0"], environment)
        found = json.loads(answer.stdout)
        assert found["closed"], found["reason"]
        experiment = found["lap"]["experiment"]
        seconds.append(found["seconds"])
        tasks.append(experiment["control"]["resolved"] + experiment["treatment"]["resolved"])
        base.append(experiment["control"]["rate"])
        treated.append(experiment["treatment"]["rate"])
    print(
        f"\n{LAPS} real laps: all closed; seconds {sorted(seconds)}, median {statistics.median(seconds)}; "
        f"experiment tasks {sorted(tasks)}, median {statistics.median(tasks)}; success of control "
        f"{statistics.mean(base):.2f}, of treatment {statistics.mean(treated):.2f}"
    )


def test_scripted_lap(migrated_sqlite_url, tmp_path):
    world = World(migrated_sqlite_url, tmp_path, seed=5)
    wall, cpu = time.perf_counter(), time.process_time()
    world.run_lap(at_most_seconds=120)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert world.outcome() == "promoted"
    virtual = world.clock.now_us() / 1e6 - 1_767_225_600
    print(f"\nscripted lap: {world.posted} tasks, {virtual:.0f} virtual s in {wall:.2f} s ({cpu:.2f} s CPU)")
    world.close()


def test_offline_audit():
    frontier, leaves = Frontier(), []
    genesis = {"origin": "bench", "config": {}, "rules": {"threshold_percent": 51, "minimum_ballots": 3}}
    for index in range(ENTRIES):
        payload = genesis
        if index:
            payload = {"agent": f"agent:{index % 50}", "from": "shadow", "to": "probation", "reason": "bench"}
        kind = EntryType.STANDING if index else EntryType.GENESIS
        leaf = entry_bytes(Entry(index, index, kind, "system:bench", None, frontier.root().hex(), payload))
        frontier = frontier.append(leaf_hash(leaf))
        leaves.append(leaf)
    started = time.perf_counter()
    report = audit_ledger(leaves, {}, claimed=(ENTRIES, frontier.root()))
    taken = time.perf_counter() - started
    assert report.ok, report.reason
    print(f"\noffline audit of {ENTRIES:,} entries: {taken:.2f} s")


def test_start_of_the_command():
    bare = statistics.median(cpu_seconds_of([sys.executable, "-c", "pass"])[0] for _ in range(9))
    ours = statistics.median(cpu_seconds_of([*NACRE, "--help"])[0] for _ in range(9))
    print(f"\nnacre --help: {1000 * (ours - bare):.0f} ms CPU beyond bare Python ({1000 * bare:.0f} ms)")
