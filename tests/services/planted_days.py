"""Ended tasks planted as rows, hour by hour: what the nightly consolidation reads, without the market's work.

Nothing here checks anything; the platform's own tables are filled the way its verbs leave them.
"""

from dataclasses import dataclass, field

from services.domain.clock import HOUR_US, seconds
from services.domain.states import AttemptState, EndReason, TaskKind, TaskState
from services.store import sql, tables

LIMIT = "monte_carlo.timeout_seconds"


def in_force(**values):
    """Effective values of monte_carlo as they are stored with a task."""
    return {
        f"monte_carlo.{name}": {
            "value": value, "source": "default", "version": 1, "arm": None, "experiment_id": None,
        }
        for name, value in values.items()
    }  # fmt: skip


@dataclass
class Plant:
    """Plants ended tasks of one requester at instants of the platform's virtual time."""

    market: object
    requester: int
    planted: list[int] = field(default_factory=list)

    def tasks(self, count, *, agent=None, at_us=None, reason=EndReason.VERIFIED, said=None, **fields):
        """Plant `count` tasks that ended at one instant; failed ones with what was said. Return their ids."""
        with self.market.write() as tx:
            at_us = tx.now_us if at_us is None else at_us
            ids = sql.reserve_ids(tx, tables.task, count)
            is_good = reason == EndReason.VERIFIED
            state = TaskState.SETTLED if is_good else TaskState.FAILED
            standard = {
                "kind": TaskKind.USER, "type": "monte_carlo", "state": state, "requester_id": self.requester,
                "public": {}, "private": {}, "reserve_price_microcredits": 1, "attempt_count": 1,
                "maximum_attempts": 1, "awarded_agent_id": agent,
                "effective_values": in_force(timeout_seconds="2"),
                "posted_at_us": at_us - HOUR_US, "bids_close_at_us": at_us, "deadline_at_us": at_us,
                "ended_at_us": at_us, "end_reason": reason, "duration_us": seconds(1), "is_holdout": False,
            }  # fmt: skip
            sql.insert_many(tx, tables.task, [{"id": number, **standard, **fields} for number in ids])
            if not is_good and agent is not None:
                sql.insert_many(
                    tx, tables.attempt, [attempt(number, agent, reason, said, at_us) for number in ids]
                )
        self.planted += ids
        return ids


def attempt(task_id, agent_id, reason, said, at_us, **fields):
    """One failed attempt; `said` is the verifier's reason."""
    return {
        "task_id": task_id, "agent_id": agent_id, "number": 1, "state": AttemptState.FAILED,
        "leased_at_us": at_us, "allowed_until_us": at_us, "expires_at_us": at_us, "heartbeat_at_us": at_us,
        "ended_at_us": at_us, "reason": reason, "handoff": None,
        "verification": None if said is None else {"reason": said, "measures": {}}, **fields,
    }  # fmt: skip
