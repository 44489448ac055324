"""The platform's checks of itself: recent awards, the ledger, the config in force, the clock, fresh data.

Stand beside the probes of verifiers, which run them by the clock, each with a bounded cost. Each recomputes
from the records what the platform says now. They never mend anything.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.domain.award_replay import EARLIER_RULE
from services.domain.checks import Status
from services.domain.clock import HOUR_US, MINUTE_US, SECOND_US
from services.domain.errors import ConflictError
from services.domain.hash_chain import Frontier
from services.operations import audit_log, ledger_chain, production_config
from services.store import health as queries
from services.store import observations, sql, tables, views
from services.store.tx import Tx

AWARDS_REPLAYED: Final = 5
AWARDS_RANGE: Final = 5_000
"""Awards are sampled from so many newest ones."""
ENTRIES_VERIFIED: Final = 500
"""New ledger entries that one run verifies."""
CLOCK_SLACK_US: Final = 5 * SECOND_US
"""How far another process's clock may be ahead."""
SNAPSHOT_WARN_US: Final = 2 * HOUR_US + 10 * MINUTE_US
SNAPSHOT_FAIL_US: Final = 4 * HOUR_US
WATCHED: Final[Mapping[str, int]] = {
    "lease_expiry": 10 * MINUTE_US,
    "auto_accept_bids": HOUR_US,
    "market_watchdog": 15 * MINUTE_US,
    "books_audit": 4 * HOUR_US,
    "metric_watchdog": 15 * MINUTE_US,
}
"""Jobs that must have ended well within this time: half of it is a warning already."""

Marks = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    component: str
    measurement: str
    status: Status
    output: str | None = None
    observed: float | None = None
    unit: str | None = None


@dataclass(slots=True)
class Watch:
    """What the checks remember: `alive_since_us`, since when somebody has been looking without a gap."""

    alive_since_us: int
    marks: Marks = field(default_factory=dict)


def replay_awards(tx: Tx, watch: Watch) -> list[Finding]:
    """Replay a few of the newest awards from bids and outcomes; another few each time."""
    turn = int(watch.marks.get("turn", 0))
    watch.marks["turn"] = (turn + 1) % AWARDS_RANGE
    shift = turn * 0.618034 % 1.0  # the golden ratio's multiples spread evenly
    shares = [(number + shift) / AWARDS_REPLAYED for number in range(AWARDS_REPLAYED)]
    checked, wrong = 0, []
    for task_id in queries.awards_near(tx, shares, AWARDS_RANGE):
        try:
            replays = views.replay_task(tx, task_id) or {"awards": []}
        except ConflictError:  # sealed again, or too long a record to fold here
            continue
        told = [one for one in replays["awards"] if one["problem"] != EARLIER_RULE]
        checked += len(told)
        wrong += [
            f"task {task_id}, attempt {one['attempt_number']}" for one in told if not one["is_confirmed"]
        ]
    output = f"an award comes out otherwise than recorded: {'; '.join(wrong[:3])}" if wrong else None
    status = Status.FAIL if wrong else Status.PASS
    return [Finding("market", "award_replay", status, output, float(checked), "awards")]


def verify_entries(tx: Tx, watch: Watch) -> list[Finding]:
    """Verify the ledger's entries since the last time against their leaves, their order, tree and root."""
    kept = watch.marks.get("frontier", {"size": 0, "hashes": []})
    frontier = Frontier(kept["size"], tuple(bytes.fromhex(text) for text in kept["hashes"]))
    found = ledger_chain.verify_on(tx, frontier, ENTRIES_VERIFIED)
    if found.wrong is None:
        watch.marks["frontier"] = {
            "size": found.frontier.size,
            "hashes": [node.hex() for node in found.frontier.hashes],
        }
    status = Status.PASS if found.wrong is None else Status.FAIL
    return [Finding("ledger", "newest_entries", status, found.wrong, float(found.frontier.size), "entries")]


def compare_config(tx: Tx, watch: Watch) -> list[Finding]:
    """Compare the values in force, read back, with the fold of the ledger's entries.

    The fold is remembered with how many entries are in it, so that a run reads what is new only.
    """
    head = sql.find(tx, tables.ledger_head, id=audit_log.HEAD)
    size = 0 if head is None else int(head["size"])
    kept = watch.marks if int(watch.marks.get("size", 0)) <= size else {}
    folded: dict[str, str] = dict(kept.get("folded", {}))
    for row in queries.config_entries(tx, int(kept.get("size", 0))):
        payload = json.loads(row["leaf"])["payload"]
        folded |= payload.get("config", {})
        if "parameter" in payload:
            folded[payload["parameter"]] = payload["value" if "value" in payload else "to"]
    watch.marks |= {"size": size, "folded": folded}
    live = production_config.snapshot(tx)
    differing = sorted(name for name in folded.keys() | live.keys() if folded.get(name) != live.get(name))
    output = f"in force otherwise than the ledger says: {', '.join(differing[:5])}" if differing else None
    status = Status.FAIL if differing else Status.PASS
    return [Finding("config", "fold_of_ledger", status, output, float(len(differing)), "values")]


def look_at_clock(tx: Tx, watch: Watch) -> list[Finding]:  # noqa: ARG001
    """Ask whether anything was recorded after now: then this clock, or another process's, is wrong."""
    newest = queries.newest_instant(tx)
    ahead_us = 0 if newest is None else max(0, newest - tx.now_us)
    is_wrong = ahead_us > CLOCK_SLACK_US
    output = (
        f"something was recorded {ahead_us / SECOND_US:g} s from now; a clock is wrong" if is_wrong else None
    )
    status = Status.FAIL if is_wrong else Status.PASS
    return [Finding("clock", "order", status, output, ahead_us / SECOND_US, "seconds")]


def look_at_age(tx: Tx, watch: Watch) -> list[Finding]:
    """Ask how old the newest window of the metrics is, and the last good tick of every job that is watched.

    Nothing is older than the time that somebody has been looking for: while no process ran nothing could be
    done. A paused job is a warning. Before the first user's task there is no window to be had.
    """
    counted_us = queries.newest_window_end(tx) or observations.first_posted(tx)
    if counted_us is None:
        output = "nothing to count yet: no user's task was posted"
        findings = [Finding("metrics", "age_of_snapshot", Status.PASS, output, 0.0, "seconds")]
    else:
        age_us = tx.now_us - max(counted_us, watch.alive_since_us)
        findings = [_aged("metrics", "age_of_snapshot", age_us, SNAPSHOT_WARN_US, SNAPSHOT_FAIL_US)]
    paused = queries.paused(tx)
    for job, most_us in WATCHED.items():
        if job in paused:
            findings.append(Finding(f"job/{job}", "age", Status.WARN, "an operator has paused it"))
            continue
        age_us = tx.now_us - max(queries.last_done(tx, job) or 0, watch.alive_since_us)
        findings.append(_aged(f"job/{job}", "age", age_us, most_us // 2, most_us))
    return findings


def _aged(component: str, measurement: str, age_us: int, warn_us: int, fail_us: int) -> Finding:
    status = Status.PASS
    if age_us > warn_us:
        status = Status.FAIL if age_us > fail_us else Status.WARN
    seconds = age_us / SECOND_US
    output = (
        None
        if status is Status.PASS
        else f"last seen to {seconds:.0f} s ago; {fail_us / SECOND_US:.0f} s at most"
    )
    return Finding(component, measurement, status, output, seconds, "seconds")


SELF_CHECKS: Final[Mapping[str, Callable[[Tx, Watch], list[Finding]]]] = {
    "awards": replay_awards,
    "ledger": verify_entries,
    "config": compare_config,
    "clock": look_at_clock,
    "age": look_at_age,
}

Key = tuple[str, str]
"""A component and what is measured of it."""

WRITTEN: Final[Mapping[str, tuple[Key, ...]]] = {
    "awards": (("market", "award_replay"),),
    "ledger": (("ledger", "newest_entries"),),
    "config": (("config", "fold_of_ledger"),),
    "clock": (("clock", "order"),),
    "age": (("metrics", "age_of_snapshot"), *((f"job/{job}", "age") for job in WATCHED)),
}
"""What each check answers for; the first of them also says when the check itself could not be made."""
OTHERS: Final[tuple[Key, ...]] = (
    ("metrics", "recount"),
    ("metric_watchdog", "planted_drift"),
    ("ledger", "full_audit"),
    ("ledger", "promotion_guard"),
    ("ledger", "witness"),
)
"""What others than these checks report: the metric watchdog; the audit, guard and witness of the ledger."""
