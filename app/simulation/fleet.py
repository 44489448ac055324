"""The scenarios' agents at work: a requester and workers that act in batches, one transaction an act.

Stands in a scenario's world beside the proposers. Agents act through the services that the API calls; how
their work ends is drawn from the environment. A worker that the platform suspends bids no more. It never
knows why a task succeeds.
"""

import heapq
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.simulation.environment import Environment, Work
from app.simulation.stage import Stage, acting
from services import meta_task_market
from services.domain.clock import HOUR_US, seconds
from services.domain.errors import ForbiddenError
from services.domain.handoff import Handoff
from services.domain.states import EndReason, Scope, TaskKind, TaskState
from services.meta_task_market import SubmittedOutcome, TaskTerms
from services.store import sql, tables
from services.store.tx import Tx

RESERVE_MICROCREDITS = 1_000
ASK_MICROCREDITS = 500
DEADLINE_US = 24 * HOUR_US
REMEMBERED = 200


class Job(NamedTuple):
    """One lease at work: when it ends (µs), and as what."""

    done_at_us: int
    task_id: int
    agent_id: int
    token: int
    kind: str
    work: Work


@dataclass
class Fleet:
    """A requester and its workers; `bidders` of them, drawn at random, bid on each task."""

    stage: Stage
    environment: Environment
    rng: random.Random
    size: int
    bidders: int
    workers: list[int] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    ended: dict[str, deque[tuple[int, bool]]] = field(default_factory=dict)
    requester: int = 0
    posted: int = 0
    finished: int = 0
    suspended: int = 0

    def __post_init__(self) -> None:
        """Register the agents."""
        self.requester = self.stage.register("requester", Scope.POST)
        self.workers = [self.stage.register(f"worker_{n:02d}", Scope.BID) for n in range(self.size)]

    def post(self, counts: Mapping[str, int]) -> None:
        """Post so many tasks of each kind and let the workers bid on them."""
        if not any(counts.values()):
            return
        with self.stage.write(self.requester) as tx:
            for kind, count in counts.items():
                for _ in range(count):
                    self._post_one(tx, kind)

    def _post_one(self, tx: Tx, kind: str) -> None:
        self.posted += 1
        terms = TaskTerms(
            TaskKind.USER, kind, {"n": self.posted}, {}, self.requester, RESERVE_MICROCREDITS, DEADLINE_US
        )
        task_id = meta_task_market.post_task(tx, terms)
        for agent_id in self.rng.sample(self.workers, min(self.bidders, len(self.workers))):
            self._bid(tx, agent_id, task_id)

    def _bid(self, tx: Tx, agent_id: int, task_id: int) -> None:
        try:
            meta_task_market.place_bid(
                acting(tx, agent_id),
                agent_id=agent_id,
                task_id=task_id,
                ask_microcredits=ASK_MICROCREDITS,
                confidence_percent=None,
            )
        except ForbiddenError:
            self.workers.remove(agent_id)
            self.suspended += 1

    def lease(self) -> None:
        """Take every lease that was won, and begin its work."""
        with self.stage.write(self.requester) as tx:
            won = sql.find_all(tx, tables.task, state=TaskState.AWARDED, kind=TaskKind.USER)
            for task in won:
                self._begin(tx, task["id"], task["awarded_agent_id"], task["type"])

    def _begin(self, tx: Tx, task_id: int, agent_id: int, kind: str) -> None:
        lease = meta_task_market.take_lease(acting(tx, agent_id), agent_id=agent_id, task_id=task_id)
        work = self.environment.attempt(kind, lease.parameters, agent_id, self.stage.elapsed_seconds)
        done_at_us = tx.now_us + seconds(work.seconds)
        heapq.heappush(self.jobs, Job(done_at_us, task_id, agent_id, lease.fencing_token, kind, work))

    def hand_in(self) -> None:
        """Hand in everything that is done by now."""
        now_us = self.stage.clock.now_us()
        if not self.jobs or self.jobs[0].done_at_us > now_us:
            return
        with self.stage.write(self.requester) as tx:
            while self.jobs and self.jobs[0].done_at_us <= now_us:
                self._hand_in(tx, heapq.heappop(self.jobs))

    def _hand_in(self, tx: Tx, job: Job) -> None:
        changed: dict[str, object] = {"is_good": job.work.is_good}
        meta_task_market.submit_result(
            acting(tx, job.agent_id),
            agent_id=job.agent_id,
            task_id=job.task_id,
            fencing_token=job.token,
            outcome=SubmittedOutcome.COMPLETED if job.work.is_in_time else SubmittedOutcome.FAILED,
            failure_reason=None if job.work.is_in_time else EndReason.TIMED_OUT,
            handoff=Handoff("simulated", changed, ""),
        )
        self.finished += 1
        self.ended.setdefault(job.kind, deque(maxlen=REMEMBERED)).append((job.task_id, job.work.is_good))

    def seen(self, kind: str) -> tuple[float, list[int]]:
        """Return what an agent sees of a kind: success rate of recent tasks, and a few of their ids."""
        recent: Any = self.ended.get(kind, ())
        rate = sum(is_good for _, is_good in recent) / len(recent) if recent else 0.0
        return rate, [task_id for task_id, _ in list(recent)[-5:]]
