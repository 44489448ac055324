"""Time a backup and a restore of SQLite beside the engine's own copy: rows a second and peak memory.

Usage: `python -m tests.benchmarks.bench_backup [rows]` (default 1,000,000 events of a seeded size).
"""

import json
import random
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from app.backup import making, restoring
from app.backup.restoring import Terms
from app.bootstrap import open_platform
from app.settings import Settings
from services.domain.clock import WallClock
from services.store.tx import Store

SEED = 11


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fill(path, count):
    rng = random.Random(SEED)
    rows = (
        (n, "TaskEnded", f"task:{n}", json.dumps({"task_id": n, "x": rng.random()}), "system", None, n)
        for n in range(10**6, 10**6 + count)
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def timed(what, act):
    began = time.perf_counter()
    act()
    return {"what": what, "seconds": round(time.perf_counter() - began, 2), "peak_mb": peak_megabytes()}


def own_copy(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def main(count):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, file, target = folder / "a.db", folder / "a.backup", folder / "b.db"
        open_platform(Settings(f"sqlite:///{path}", var_directory=folder)).close()
        fill(path, count)
        store = Store(f"sqlite:///{path}", WallClock())
        found = [
            {"what": "before", "peak_mb": peak_megabytes()},
            timed("engine's own copy", lambda: own_copy(path, folder / "copy.db")),
            timed("backup", lambda: making.make(store, file, folder)),
            timed(
                "restore, proofs included",
                lambda: restoring.restore(file, f"sqlite:///{target}", target, Terms()),
            ),
        ]
        store.close()
        sizes = {"database_mb": path.stat().st_size >> 20, "file_mb": file.stat().st_size >> 20}
    for row in found:
        rate = {"rows_per_second": round(count / row["seconds"])} if "seconds" in row else {}
        print(json.dumps(row | rate))
    print(json.dumps({"rows": count, "seed": SEED, **sizes}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
