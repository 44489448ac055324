"""Expiry: what fell silent is taken back and handed to the next-best bid; what is late is ended.

Stands in layer 4, run by the clock. Every stage of a task's life has an end that comes by itself, in a named
state, with its money returned. It never judges a result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.domain.clock import HOUR_US
from services.domain.market_invariants import AWAY_US
from services.domain.states import AttemptState, EndReason, OutcomeKind, TaskState
from services.meta_task_market import awards
from services.meta_task_market.ending import Endings, Stake, stake_of
from services.meta_task_market.rules import MarketRules, rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 500
SWEEP = "lease_expiry"
"""The job of the clock that runs this; its ticks tell when the platform was there."""
LOOK_BACK_US = 2 * HOUR_US
"""How far back the end of an absence is looked for, however long that was."""


@dataclass(frozen=True, slots=True)
class Absence:
    """The last stretch in which the platform was away, as the gaps between its sweeps tell."""

    from_us: int
    until_us: int

    def spans(self, from_us: int, until_us: int) -> bool:
        """Tell whether the platform was away for a part of the time between two instants."""
        return from_us < self.until_us and until_us > self.from_us


NEVER = Absence(0, 0)


def expire_due(tx: Tx, entropy: Callable[[int], bytes]) -> dict[str, int]:
    """Take back silent leases and unclaimed awards, end what is past its deadline, award what came back.

    Up to `BATCH` of each. Who could not be heard because the platform was away gets the time anew; whose time
    allowed ran out meanwhile loses neither stake nor standing, and the attempt's reason says so.
    """
    rules = rules_now(tx)
    start_us = rules.microseconds("start_window")
    attempts = market.expired_leases(tx, rules.microseconds("lease_grace"), BATCH)
    waiting = market.unclaimed_awards(tx, start_us, BATCH)
    absence = _last_absence(tx) if attempts or waiting else NEVER
    lapsed, excused = _lapsed(tx, attempts, absence, rules)
    unclaimed = [
        task for task in waiting if is_unclaimed(task["awarded_at_us"], start_us, absence, tx.now_us)
    ]
    taken_back = {task["id"] for task in waiting}
    graced = market.past_deadline(tx, rules.microseconds("deadline_grace"), BATCH)
    late = [task for task in graced if task["id"] not in taken_back]
    if lapsed or unclaimed or late:
        _end(tx, lapsed, unclaimed, late, excused)
    awards.award(tx, market.due_again(tx, BATCH), entropy)
    return {"lapsed": len(lapsed), "unclaimed": len(unclaimed), "late": len(late)}


def _last_absence(tx: Tx) -> Absence:
    gap = market.last_gap(tx, SWEEP, tx.now_us - LOOK_BACK_US, AWAY_US)
    return NEVER if gap is None else Absence(*gap)


def is_unclaimed(awarded_at_us: int, start_us: int, absence: Absence, now_us: int) -> bool:
    """Tell whether an award waited in vain; where the platform was away, the wait begins when it is back."""
    begins_us = awarded_at_us
    if absence.spans(awarded_at_us, awarded_at_us + start_us):
        begins_us = absence.until_us
    return now_us - begins_us >= start_us


def _lapsed(
    tx: Tx, attempts: Sequence[Row], absence: Absence, rules: MarketRules
) -> tuple[list[Row], frozenset[int]]:
    """Return the tasks whose leases are over, and which of them nobody is to blame for."""
    window_us, grace_us = rules.microseconds("heartbeat"), rules.microseconds("lease_grace")
    tasks = market.locked_tasks(tx, {row["task_id"] for row in attempts}) if attempts else {}
    over, excused = [], set()
    for attempt in attempts:
        task = tasks[attempt["task_id"]]
        if task["state"] != TaskState.LEASED:
            continue
        if absence.spans(attempt["leased_at_us"], attempt["allowed_until_us"] + grace_us):
            is_out_of_time = attempt["allowed_until_us"] + grace_us <= tx.now_us
            if not is_out_of_time and tx.now_us - absence.until_us < window_us:
                continue
            if attempt["allowed_until_us"] <= absence.until_us:
                excused.add(task["id"])
        over.append(task)
    return over, frozenset(excused)


def _end(
    tx: Tx,
    lapsed: Sequence[Row],
    unclaimed: Sequence[Row],
    late: Sequence[Row],
    excused: frozenset[int],
) -> None:
    tasks = [*lapsed, *unclaimed, *late]
    rules = rules_now(tx, (task["type"] for task in tasks))
    claims = market.awards_now(tx, [task["id"] for task in tasks])
    endings = Endings(tx, rules, tasks)
    for task in (*lapsed, *unclaimed):
        if task["id"] in excused:
            endings.come_to_nothing(task, EndReason.PLATFORM_AWAY, is_silent=True, stake=Stake.RETURNED)
            continue
        endings.note_outcome(
            task,
            task["awarded_agent_id"],
            OutcomeKind.CRASHED,
            confidence_percent=claims[task["id"]]["confidence_percent"],
        )
        endings.come_to_nothing(task, EndReason.LEASE_LAPSED, is_silent=True)
    for task in late:
        state = TaskState.EXPIRED if task["state"] == TaskState.BIDDING else TaskState.FAILED
        endings.end(task, state, EndReason.DEADLINE_PASSED, stake=stake_of(task))
    ended = [
        _lapse(tx, task, EndReason.PLATFORM_AWAY if task["id"] in excused else EndReason.LEASE_LAPSED)
        for task in lapsed
    ]
    sql.update_many(tx, tables.attempt, ("task_id",), ended, {"state": AttemptState.LEASED})
    sql.insert_many(tx, tables.attempt, [_unclaimed_attempt(tx, task) for task in unclaimed])
    endings.write()


def _lapse(tx: Tx, task: Row, reason: EndReason) -> dict[str, object]:
    return {
        "task_id": task["id"],
        "state": AttemptState.LAPSED,
        "ended_at_us": tx.now_us,
        "reason": reason,
    }


def _unclaimed_attempt(tx: Tx, task: Row) -> dict[str, object]:
    """Return the lapsed attempt of an award nobody claimed, so that the same agent is not asked again."""
    return {
        "task_id": task["id"],
        "agent_id": task["awarded_agent_id"],
        "number": task["attempt_count"],
        "state": AttemptState.LAPSED,
        "leased_at_us": task["awarded_at_us"],
        "allowed_until_us": tx.now_us,
        "expires_at_us": tx.now_us,
        "heartbeat_at_us": task["awarded_at_us"],
        "ended_at_us": tx.now_us,
        "reason": EndReason.LEASE_LAPSED,
    }
