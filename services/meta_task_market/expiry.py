"""Expiry: what fell silent is taken back and handed to the next-best bid; what is late is ended.

Stands in layer 4, run by the clock. Every stage of a task's life has an end that comes by itself, in a named
state, with its money returned. It never judges a result.
"""

from collections.abc import Callable, Sequence

from services.domain.states import AttemptState, EndReason, OutcomeKind, TaskState
from services.meta_task_market import awards
from services.meta_task_market.ending import Endings, stake_of
from services.meta_task_market.rules import MarketRules, rules_now
from services.store import market, sql, tables
from services.store.sql import Row
from services.store.tx import Tx

BATCH = 500


def expire_due(tx: Tx, entropy: Callable[[int], bytes]) -> dict[str, int]:
    """Take back silent leases and unclaimed awards, end what is past its deadline, award what came back."""
    rules = rules_now(tx)
    lapsed = _locked(tx, market.expired_leases(tx, rules.microseconds("lease_grace"), BATCH))
    unclaimed = market.unclaimed_awards(tx, rules.microseconds("start_window"), BATCH)
    taken_back = {task["id"] for task in unclaimed}
    graced = market.past_deadline(tx, rules.microseconds("deadline_grace"), BATCH)
    late = [task for task in graced if task["id"] not in taken_back]
    if lapsed or unclaimed or late:
        _end(tx, lapsed, unclaimed, late)
    awards.award(tx, market.due_again(tx, BATCH), entropy)
    return {"lapsed": len(lapsed), "unclaimed": len(unclaimed), "late": len(late)}


def _locked(tx: Tx, attempts: Sequence[Row]) -> list[Row]:
    """Return the tasks of expired leases that are still at work, now that they are held."""
    tasks = market.locked_tasks(tx, {row["task_id"] for row in attempts}) if attempts else {}
    return [task for task in tasks.values() if task["state"] == TaskState.LEASED]


def _end(tx: Tx, lapsed: Sequence[Row], unclaimed: Sequence[Row], late: Sequence[Row]) -> None:
    tasks = [*lapsed, *unclaimed, *late]
    rules: MarketRules = rules_now(tx, (task["type"] for task in tasks))
    claims = market.awards_now(tx, [task["id"] for task in tasks])
    endings = Endings(tx, rules, tasks)
    for task in (*lapsed, *unclaimed):
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
    sql.update_many(
        tx,
        tables.attempt,
        ("task_id",),
        [
            {
                "task_id": task["id"],
                "state": AttemptState.LAPSED,
                "ended_at_us": tx.now_us,
                "reason": EndReason.LEASE_LAPSED,
            }
            for task in lapsed
        ],
        {"state": AttemptState.LEASED},
    )
    sql.insert_many(tx, tables.attempt, [_unclaimed_attempt(tx, task) for task in unclaimed])
    endings.write()


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
