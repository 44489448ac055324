"""Run as a script: platforms over one database, each killed with SIGKILL somewhere in an experiment.

Arguments: database URL, folder of keys, number of kills, seed. A child takes up the work where the last one
was killed and says before each act what it is about to do; its parent kills it some acts and milliseconds
later, and holds every child to what its predecessors had written: a verdict never changes, and what was bet
on once stays as it was. Prints the states in which it killed as JSON. No connection is open during a fork.
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
ACTS, LATER_SECONDS = 50, 0.012
TASKS = 6
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


def work(lab, say):
    """Do one round: end what was assigned, deliver, evaluate, start a placebo, assign more."""
    for task in lab.rows(tables.task, type=TYPE, state="awarded"):
        say("end")
        value = task["effective_values"][TIMEOUT]["value"]
        is_success = random.Random(task["id"]).random() < RATES[value]
        with lab.write() as tx:
            state = "settled" if is_success else "failed"
            sql.update(tx, tables.task, {"id": task["id"]}, state=state, ended_at_us=tx.now_us)
            facts = {"task_id": task["id"], "kind": "user", "state": state}
            publish(tx, Event(EventType.TASK_ENDED, f"task:{task['id']}", facts))
    say("deliver")
    lab.deliver()
    say("evaluate")
    lab.evaluate()
    with lab.write() as tx:
        lab.start_placebo(tx)
    for _ in range(TASKS):
        say("assign")
        lab.assign()
    lab.pass_seconds(1)


def live(url, folder, begun=None):
    """Work until the experiment is over; with `begun`, say every act on that pipe."""
    lab = resumed(url, folder)
    while not is_over(lab):
        work(lab, lambda _act: begun and os.write(begun, b"."))
    lab.platform.close()


def kill_one(url, folder, rng):
    """Start a platform and kill it some acts later; tell whether it was at work."""
    heard, begun = os.pipe()
    child = os.fork()
    if child == 0:
        live(url, folder, begun)
        os._exit(0)
    os.close(begun)
    acts = sum(len(os.read(heard, 1)) for _ in range(rng.randrange(1, ACTS)))
    time.sleep(rng.uniform(0, LATER_SECONDS))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(heard)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a platform failed by itself"
    return acts and os.WIFSIGNALED(status)


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
