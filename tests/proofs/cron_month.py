"""Several processes fire one table of jobs over one database and one clock, and are killed meanwhile.

The parent moves the clock, minute by minute, when every living process has fired what was due, kills some of
them with SIGKILL while they fire, and starts others in their place. Once all are dead for hours.
"""

import mmap
import os
import random
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import event

from services.cron_runner import CronJob, JobRunningError, Misfire, Timetable, lost, run_lost, run_tick
from services.domain.clock import HOUR_US, MINUTE_US, SECOND_US
from services.domain.states import TickCause, TickState
from services.operations import review_queue
from services.store import sql, tables
from services.store.tx import Store
from tests.proofs.processes import forked, killed

START_US = 1_767_225_600 * SECOND_US
PROCESSES = 3
OUTAGE_US = 3 * HOUR_US
SETTLING_US = 5 * MINUTE_US
"""After the last kill the clock goes on until what was lost has been closed and run once more."""
PATIENCE_SECONDS = 60


class SharedClock:
    """An instant in memory that several processes see, with the instant each of them has come to."""

    def __init__(self):
        self._memory = mmap.mmap(-1, 8 * (1 + PROCESSES))
        self.put(0, START_US)

    def now_us(self):
        return self.get(0)

    def put(self, place, instant_us):
        struct.pack_into("=q", self._memory, 8 * place, instant_us)

    def get(self, place):
        return struct.unpack_from("=q", self._memory, 8 * place)[0]


def does(name):
    def write(tx, _context):
        review_queue.open_item(tx, kind=name, subject=str(tx.now_us), context={})
        return {"ran": 1}

    return write


def job(name, misfire, **terms):
    return CronJob(name, does(name), budget_seconds=5, priority=5, summary="Ran.", misfire=misfire, **terms)


JOBS = (
    job("minute", Misfire.CATCH_UP, every_seconds=60),
    job("five_minutes", Misfire.RUN_ONCE, every_seconds=300, jitter_seconds=15),
    job("hour", Misfire.SKIP, every_seconds=3600),
    job("day", Misfire.RUN_ONCE, daily_at="03:00"),
)


def opened(url, clock):
    """Return a store that does not wait for the disk: processes are killed here, not the machine."""
    store = Store(url, clock)
    if store.engine.dialect.name == "sqlite":
        event.listen(store.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    return store


def in_turn(act):
    """Do what fires a job once no other process runs it, as the runner does."""
    while True:
        try:
            return act()
        except JobRunningError:
            time.sleep(0.0002)


def fire_for_ever(url, clock, place):
    """Be one of the processes: fire what is due at each instant of the clock."""
    store, timetable = opened(url, clock), Timetable(JOBS)
    by_name = {one.name: one for one in JOBS}
    process = f"process-{place}-{os.getpid()}"
    came_to_us = 0
    while True:
        now_us = clock.now_us()
        if now_us == came_to_us:
            time.sleep(0.0002)
            continue
        for one, due_us in timetable.take(now_us, None):
            in_turn(partial(run_tick, store, None, one, due_us, process))
        for row in lost(store):
            in_turn(partial(run_lost, store, None, by_name[row["job"]], row, process))
        came_to_us = now_us
        clock.put(place, now_us)


@dataclass
class Month:
    """One run: so many days, so many kills, from one seed."""

    url: str
    days: float
    kills: int
    seed: int = 11
    clock: SharedClock = field(default_factory=SharedClock)
    children: dict[int, int] = field(default_factory=dict)

    def run(self):
        """Return the report of the run; fail when a process does not go on."""
        chance = random.Random(self.seed)
        minutes = round(self.days * 24 * 60)
        fatal = set(chance.sample(range(2, minutes - 10), self.kills))
        outage = minutes // 2
        began = time.monotonic()
        for place in range(1, PROCESSES + 1):
            self.begin(place)
        for minute in range(minutes):
            if minute == outage:
                self.end_all()
                self.clock.put(0, self.clock.now_us() + OUTAGE_US)
                for place in range(1, PROCESSES + 1):
                    self.begin(place)
            self.clock.put(0, self.clock.now_us() + MINUTE_US)
            if minute in fatal:
                place = chance.randrange(1, PROCESSES + 1)
                time.sleep(chance.uniform(0, 0.006))
                killed(self.children.pop(place))
                self.begin(place)
            self.wait()
        for _ in range(SETTLING_US // MINUTE_US):
            self.clock.put(0, self.clock.now_us() + MINUTE_US)
            self.wait()
        self.end_all()
        return {**self.report(), "kills": self.kills + 2 * PROCESSES, "seconds": time.monotonic() - began}

    def begin(self, place):
        self.children[place] = forked(fire_for_ever, self.url, self.clock, place)

    def end_all(self):
        for child in self.children.values():
            killed(child)
        self.children.clear()

    def wait(self):
        now_us, ends = self.clock.now_us(), time.monotonic() + PATIENCE_SECONDS
        while any(self.clock.get(place) < now_us for place in self.children):
            assert time.monotonic() < ends, "a process does not go on"
            time.sleep(0.0002)

    def report(self):
        store = opened(self.url, self.clock)
        with store.read() as tx:
            ticks = sql.find_all(tx, tables.cron_tick)
            effects = Counter(row["kind"] for row in sql.find_all(tx, tables.review_item))
        store.close()
        return judged(ticks, effects, self.clock.now_us())


def judged(ticks, effects, now_us):
    """Return what happened to every due instant; fail for one that fired twice or vanished."""
    by_job = {one.name: [row for row in ticks if row["job"] == one.name] for one in JOBS}
    told = {"due": 0, "missed": 0}
    for one in JOBS:
        rows = by_job[one.name]
        done = sum(row["state"] == TickState.DONE for row in rows)
        assert effects[one.name] == done, f"{one.name}: {effects[one.name]} effects of {done} ticks"
        dues = set(one.dues_between(START_US, now_us - SETTLING_US))
        kept = {row["due_at_us"]: row for row in rows if row["trigger"] != TickCause.RETRY}
        absent = sorted(dues - kept.keys())
        said = sum(int(row["error"].split()[0]) for row in rows if " missed: " in (row["error"] or ""))
        noted = [row for row in rows if " missed: " in (row["error"] or "")]
        assert len(absent) == said - len(noted), f"{one.name}: {len(absent)} absent, {said} said to be missed"
        told["due"] += len(dues)
        told["missed"] += said
        again = {row["due_at_us"] - 1 for row in rows if row["trigger"] == TickCause.RETRY}
        died = {row["due_at_us"] for row in kept.values() if row["state"] == TickState.FAILED}
        if one.misfire is Misfire.CATCH_UP:
            assert again == died, f"{one.name}: what died is run once more, nothing else is"
    states = Counter((str(row["trigger"]), str(row["state"])) for row in ticks)
    assert not [row for row in ticks if row["state"] == TickState.RUNNING]
    duplicates = len(ticks) - len({(row["job"], row["due_at_us"]) for row in ticks})
    fired_by = len({row["claimed_by"].split("-")[1] for row in ticks})
    return {**told, "ticks": len(ticks), "duplicates": duplicates, "places": fired_by, "states": dict(states)}
