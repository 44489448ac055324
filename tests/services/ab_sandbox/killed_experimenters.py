"""Run as a script: platforms over one database, each killed with SIGKILL somewhere in an experiment.

Arguments: database URL, folder of keys, number of kills, seed. A child takes up the work where the last one
was killed and asks before each act. Its parent lets it go on for some acts, kills it some milliseconds into
the last one, and holds it to what was written before: a verdict never changes, and what was bet on once stays
as it was. Prints the states in which it killed as JSON. No connection is open during a fork.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from app.bootstrap import open_platform
from app.settings import Settings
from services.domain.clock import SECOND_US, VirtualClock
from services.domain.events import Event, EventType
from services.domain.states import LIVE_EXPERIMENTS
from services.event_bus import publish
from services.store import sql, tables
from services.store.tx import Store
from tests.plugins.platforms import scripted_verdict
from tests.services.laboratory import TIMEOUT, TYPE, Laboratory

RATES = {"90": 0.45, "180": 0.92}
ACTS, LATER_SECONDS = 44, 0.012
TASKS = 6
ROUNDS = 200
VERDICT = ("verdict", "reason", "estimate", "lower", "upper", "records_sha256")
COUNTED = ("ordinal", "arm", "share", "outcome", "is_resolved", "log_e", "resolved_at_us")


def resumed(url, folder):
    """Return a laboratory whose clock goes on after everything that stands in the database."""
    store = Store(url, VirtualClock())
    with store.read() as tx:
        times = [row["at_us"] for row in sql.find_all(tx, tables.ledger_head)]
        times += [row["assigned_at_us"] for row in sql.find_all(tx, tables.exposure)]
        times += [row["ended_at_us"] or 0 for row in sql.find_all(tx, tables.task)]
    store.close()
    now_us = max(times) + SECOND_US
    platform = open_platform(
        Settings(url, var_directory=Path(folder), operator_key="operator"),
        clock=VirtualClock(now_us),
        entropy=random.Random(now_us).randbytes,
        verify=scripted_verdict,
        is_migrated=True,
    )
    lab = Laboratory(platform)
    lab.proposer = 1
    return lab


def is_over(lab):
    """Tell whether the experiment has ended and everything about it was delivered."""
    live = lab.rows(tables.experiment, kind="change", state=list(LIVE_EXPERIMENTS))
    return not live and not lab.rows(tables.delivery, state="pending")


def work(lab, ask):
    """Do one round: end what was assigned, deliver, evaluate, start a placebo, assign more."""
    for task in lab.rows(tables.task, type=TYPE, state="awarded"):
        ask()
        value = task["effective_values"][TIMEOUT]["value"]
        is_success = random.Random(task["id"]).random() < RATES[value]
        with lab.write() as tx:
            state = "settled" if is_success else "failed"
            sql.update(tx, tables.task, {"id": task["id"]}, state=state, ended_at_us=tx.now_us)
            facts = {"task_id": task["id"], "kind": "user", "state": state}
            publish(tx, Event(EventType.TASK_ENDED, f"task:{task['id']}", facts))
    ask()
    lab.deliver()
    ask()
    lab.evaluate()
    with lab.write() as tx:
        lab.start_placebo(tx)
    for _ in range(TASKS):
        ask()
        lab.assign()
    lab.pass_seconds(1)


def live(url, folder, ask=lambda: None):
    """Work until the experiment is over, asking before every act."""
    lab = resumed(url, folder)
    for _ in range(ROUNDS):
        if is_over(lab):
            break
        work(lab, ask)
    assert is_over(lab), f"the experiment is not over after {ROUNDS} rounds"
    lab.platform.close()


def kill_one(url, folder, rng):
    """Start a platform and kill it in one of its next acts; tell whether it was still at work."""
    (asked, ask), (going, go) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(asked)
        os.close(go)
        live(url, folder, lambda: os.write(ask, b"?") and os.read(going, 1))
        os._exit(0)
    os.close(ask)
    os.close(going)
    for _ in range(rng.randrange(1, ACTS)):
        if os.read(asked, 1):
            os.write(go, b"!")
    time.sleep(rng.uniform(0, LATER_SECONDS))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(asked)
    os.close(go)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a platform failed by itself"
    return os.WIFSIGNALED(status)


def written(url):
    """Return what must never change again, by key, and the states of the experiments."""
    store = Store(url, VirtualClock())
    kept = {}
    with store.read() as tx:
        experiments = sql.find_all(tx, tables.experiment)
        probations = sql.find_all(tx, tables.probation, order_by="experiment_id")
        exposures = sql.find_all(tx, tables.exposure, is_folded=True)
    store.close()
    for table, rows in (("trial", experiments), ("probation", probations)):
        for row in rows:
            if row["verdict"] is not None:
                number = row["id"] if table == "trial" else row["experiment_id"]
                kept[table, number] = tuple(row[name] for name in VERDICT)
    kept |= {("exposure", row["id"]): tuple(row[name] for name in COUNTED) for row in exposures}
    return kept, [row["state"] for row in experiments if row["kind"] == "change"]


def main(url, folder, kills, seed):
    """Kill so many platforms, one after the other, then let one finish."""
    rng = random.Random(int(seed))
    before, _ = written(url)
    killed_in = []
    for _ in range(int(kills)):
        is_killed = kill_one(url, folder, rng)
        after, states = written(url)
        assert before.items() <= after.items(), "something that had been written has changed"
        before = after
        if is_killed:
            killed_in += states
    live(url, folder)
    after, _ = written(url)
    assert before.items() <= after.items(), "something that had been written has changed"
    print(json.dumps(killed_in))


if __name__ == "__main__":
    main(*sys.argv[1:])
