"""How every job, agent and task type is, in the three layers of health.

Stands beside the platform's own health, under the API and `nacre health`. It reads rows that are there
anyway and judges them by fixed lines. It never reports, holds or opens anything.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.domain.checks import Check, Layer, Status
from services.domain.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from services.domain.states import Standing, TickState
from services.operations import health, production_config
from services.store import health as counts
from services.store import vitals as queries
from services.store.health import BAD_TICKS
from services.store.sql import Row
from services.store.tx import Tx

ACTIVE_WITHIN_US: Final = 15 * MINUTE_US
JUDGED_FROM_JOBS: Final = 20
"""Settled jobs from which an agent's share of verified work is judged."""
Z: Final = 1.96
"""Half width of a 95 % interval in standard errors."""

Layered = tuple[Layer, Check]


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a job's health is held to: its name and how often it should run."""

    name: str
    interval_us: int


def job_checks(tx: Tx, jobs: Iterable[JobFacts]) -> list[Layered]:
    """Return of every job: does it tick, does it end in time, and what is known of its answers.

    A job that is due runs late before it is dead: twice its interval and a minute is a warning, four times
    a failure. A job that has never run is neither.
    """
    recent = {row["job"]: row for row in counts.ticks_since(tx, tx.now_us - HOUR_US)}
    paused = counts.paused(tx)
    found: list[Layered] = []
    for job in jobs:
        ticks = queries.last_ticks(tx, job.name, 1)
        found.append((Layer.LIVE, _ticks(tx, job, ticks, is_paused=job.name in paused)))
        found.append((Layer.READY, _in_time(tx, job, recent.get(job.name))))
        found.append((Layer.CORRECT, _last_result(tx, job, ticks)))
    return found


def _ticks(tx: Tx, job: JobFacts, ticks: Sequence[Row], *, is_paused: bool) -> Check:
    name, kind = f"job/{job.name}", "job"
    if is_paused:
        return Check(name, "last_tick", Status.WARN, tx.now_us, kind, output="an operator has paused it")
    if not ticks:
        return Check(name, "last_tick", Status.PASS, tx.now_us, kind, output="it has not run yet")
    age_us = max(0, tx.now_us - ticks[0]["started_at_us"])
    status = Status.PASS
    if age_us > 2 * job.interval_us + MINUTE_US:
        status = Status.FAIL if age_us > 4 * job.interval_us + MINUTE_US else Status.WARN
    return Check(name, "last_tick", status, tx.now_us, kind, age_us / SECOND_US, "seconds")


def _in_time(tx: Tx, job: JobFacts, recent: Row | None) -> Check:
    share = 0.0 if recent is None else float(recent["bad"]) / recent["ticks"]
    status = Status.PASS if share == 0.0 else Status.WARN
    if share >= 1.0:
        status = Status.FAIL
    output = (
        None if recent is None else f"{recent['bad']} of {recent['ticks']} ticks of the last hour ended badly"
    )
    return Check(
        f"job/{job.name}", "bad_ticks", status, tx.now_us, "job", share, "share",
        output if share else None,
    )  # fmt: skip


def _last_result(tx: Tx, job: JobFacts, ticks: Sequence[Row]) -> Check:
    state = ticks[0]["state"] if ticks else None
    is_bad = state in BAD_TICKS
    status = Status.FAIL if state == TickState.FAILED else Status.WARN if is_bad else Status.PASS
    output = f"its newest tick: {state}" if is_bad else None
    return Check(f"job/{job.name}", "last_result", status, tx.now_us, "job", output=output)


def agent_checks(tx: Tx, agents: Iterable[Row] | None = None) -> list[Layered]:
    """Return of the agents that acted last: are they about, may they bid, and is their work verified."""
    names = ("market.open_bids_per_agent", "observatory.success_line_percent")
    limits = production_config.numbers(tx, names)
    found: list[Layered] = []
    for row in queries.newest_agents(tx) if agents is None else agents:
        found.append((Layer.LIVE, _activity(tx, row)))
        found.append((Layer.READY, _bid_room(tx, row, int(limits[names[0]]))))
        found.append((Layer.CORRECT, _verified_share(tx, row, limits[names[1]] / 100)))
    return found


def _activity(tx: Tx, row: Row) -> Check:
    age_us = max(0, tx.now_us - row["last_active_at_us"])
    status = Status.PASS
    if age_us > ACTIVE_WITHIN_US:
        status = Status.FAIL if age_us > DAY_US else Status.WARN
    return Check(_agent(row), "last_active", status, tx.now_us, "agent", age_us / SECOND_US, "seconds")


def _bid_room(tx: Tx, row: Row, limit: int) -> Check:
    room = max(0, limit - row["open_bids"])
    is_suspended = row["standing"] == Standing.SUSPENDED
    status = Status.FAIL if is_suspended else Status.PASS if room else Status.WARN
    output = "it is suspended" if is_suspended else None if room else "it has all open bids that it may have"
    return Check(_agent(row), "bid_room", status, tx.now_us, "agent", float(room), "bids", output)


def _verified_share(tx: Tx, row: Row, line: float) -> Check:
    """Judge the 95 % interval of an agent's verified share against the platform's line of success."""
    settled, verified = row["settled_jobs"], row["verified_jobs"]
    if settled == 0:
        return Check(_agent(row), "verified_share", Status.PASS, tx.now_us, "agent", output="no work yet")
    low, high = wilson_interval(verified, settled)
    status = Status.PASS
    if settled >= JUDGED_FROM_JOBS and low < line:
        status = Status.FAIL if high < line else Status.WARN if verified / settled < line else Status.PASS
    output = (
        f"{verified} of {settled} verified, 95 % interval {low:.2f} to {high:.2f}; the line is {line:.2f}"
    )
    share = verified / settled
    return Check(_agent(row), "verified_share", status, tx.now_us, "agent", share, "share", output)


def _agent(row: Row) -> str:
    return f"agent/{row['id']}"


def type_checks(tx: Tx, task_types: Iterable[str]) -> list[Layered]:
    """Return of every task type: is there who does it, what waits, and is its success in its band.

    Whether its verifier still knows its known answers is among the checks of correctness.
    """
    workers = queries.workers_since(tx, tx.now_us - ACTIVE_WITHIN_US)
    waiting = queries.waiting_tasks(tx)
    outside = set(queries.types_out_of_band(tx))
    found: list[Layered] = []
    for name in task_types:
        kind, part = "task_type", f"task_type/{name}"
        count = workers.get(name, 0)
        status = Status.PASS if count else Status.WARN
        output = None if count else "no agent that has done it was active in the last quarter of an hour"
        found.append(
            (Layer.LIVE, Check(part, "workers", status, tx.now_us, kind, float(count), "agents", output))
        )
        tasks, oldest_us = waiting.get(name, (0, tx.now_us))
        age_us = max(0, tx.now_us - oldest_us)
        status = Status.WARN if age_us > HOUR_US else Status.PASS
        output = f"{tasks} tasks take bids" if tasks else None
        seconds = age_us / SECOND_US
        found.append(
            (
                Layer.READY,
                Check(part, "oldest_open_task", status, tx.now_us, kind, seconds, "seconds", output),
            )
        )
        status = Status.FAIL if name in outside else Status.PASS
        output = "an episode of its success is open" if name in outside else None
        found.append((Layer.CORRECT, Check(part, "success_in_band", status, tx.now_us, kind, output=output)))
    return found


def platform_correctness(tx: Tx) -> list[Layered]:
    """Return every reported check of correctness as it is worth now."""
    return [(Layer.CORRECT, check) for check in health.correctness(tx)]


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927); (0, 1) for no observation."""
    if count == 0:
        return 0.0, 1.0
    share, square = successes / count, Z**2 / count
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)
