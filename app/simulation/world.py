"""The scripted lap: a few agents that work, look, propose and vote on the demonstration's platform.

Agents act through the same services that the API calls, and the diagnosis is the fleet's own; only the work
itself is scripted: each research task takes a latency drawn from a seeded source, and its agent is stopped at
the time its lease allows. One seed, one history, down to the root of the ledger. It knows no true effect:
`app.simulation.scenarios` does.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from app.agents.diagnosis import Knowledge, diagnose
from app.agents.evidence import Attempted, parameter_fact, task_fact
from app.agents.investigation import proposal_body, question_of
from app.simulation.sources import Source, cliff, fast, heavy, stuck
from app.simulation.stage import START_US, Stage
from services import meta_task_market, proposal_system
from services.domain.clock import SECOND_US, seconds
from services.domain.errors import NacreError
from services.domain.handoff import Handoff
from services.domain.states import BallotChoice, EndReason, ProposalState, Scope, TaskKind, TaskState
from services.meta_task_market import SubmittedOutcome, TaskTerms
from services.proposal_system import ProposalDraft
from services.store import sql, tables, views
from services.store.tx import Tx

__all__ = ["RESEARCH", "START_US", "TIMEOUT", "Job", "World", "cliff", "fast", "heavy", "stuck"]

STEP_US = SECOND_US // 2
RESEARCH = "research_synthesis"
TIMEOUT = "research_synthesis.timeout_seconds"
OTHERS = ("monte_carlo", "physics_simulation", "ml_training")
RESEARCH_SHARE = 0.8
BIDDERS_PER_TASK = 2
TASK_DEADLINE_US = 600 * SECOND_US
RESERVE_MICROCREDITS = 1_000_000

Investigate = Callable[["World", dict[str, Any]], ProposalDraft | None]


@dataclass(order=True)
class Job:
    """One lease at work: when it will be handed in, and as what."""

    done_at_us: int
    task_id: int
    agent_id: int = field(compare=False)
    token: int = field(compare=False)
    is_in_time: bool = field(compare=False)
    is_good: bool = field(compare=False)


def look_as_the_fleet_does(world: "World", payload: dict[str, Any]) -> ProposalDraft | None:
    """Diagnose what the views show, as the fleet's diagnosticians do; None when nothing follows from it."""
    with world.platform.store.read() as tx:
        facts = [
            task_fact(item)
            for state in (TaskState.SETTLED, TaskState.FAILED)
            for item in views.list_tasks(tx, kind=TaskKind.USER, state=state, limit=500)["items"]
        ]
        rows = views.list_parameters(tx, world.platform.registry)
        attempted = [
            Attempted(item["parameter"], float(item["treatment_value"]), item["verdict"])
            for item in views.list_experiments(tx)["items"]
        ]
    limits = [fact for item in rows["items"] if (fact := parameter_fact(item))]
    finding = diagnose(Knowledge(facts, limits, attempted), question_of(payload))
    if finding.draft is None:
        return None
    body = proposal_body(payload["task_id"], finding.draft)
    body.pop("guardrails")
    return ProposalDraft(**{**body, "evidence": tuple(body["evidence"])})


@dataclass
class World(Stage):
    """The platform, its clock, its scripted agents, and what they are doing.

    `against` of the `voters` vote against (0 .. voters).
    """

    seed: int = 7
    latency: Source = heavy
    tasks_per_second: float = 6.0
    skills: tuple[float, ...] = (1.0, 0.98, 0.96, 0.5)
    voters: int = 6
    against: int = 1
    investigate_by: Investigate = look_as_the_fleet_does
    is_investigating: bool = True
    is_voting: bool = True
    is_bidding_on_investigations: bool = True
    is_posting: bool = True
    rng: random.Random = field(init=False)
    workers: dict[int, float] = field(default_factory=dict)
    electors: list[int] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    refusals: list[NacreError] = field(default_factory=list)
    requester: int = 0
    diagnostician: int = 0
    posted: int = 0

    def __post_init__(self) -> None:
        """Open the platform and register the agents."""
        super().__post_init__()
        self.rng = random.Random(self.seed)
        self.requester = self.register("requester", Scope.POST)
        for number, skill in enumerate(self.skills):
            self.workers[self.register(f"worker_{number}", Scope.BID)] = skill
        self.diagnostician = self.register("diagnostician", Scope.BID, Scope.PROPOSE, Scope.VOTE)
        self.electors = [self.register(f"voter_{number}", Scope.VOTE) for number in range(self.voters)]

    def run(self, *, until: Callable[["World"], bool], at_most_seconds: float) -> bool:
        """Step until the condition holds; tell whether it did within the (virtual) time."""
        ends_us = self.clock.now_us() + seconds(at_most_seconds)
        while self.clock.now_us() < ends_us:
            self.step()
            if until(self):
                return True
        return False

    def run_lap(self, *, at_most_seconds: float = 120) -> str | None:
        """Run until the first lap has closed and return its outcome, None when it did not close in time."""
        self.run(until=lambda world: world.outcome() is not None, at_most_seconds=at_most_seconds)
        return self.outcome()

    def step(self) -> None:
        """Let half a second pass: work ends when it ends, then jobs fire, events arrive, and agents act."""
        ends_us = self.clock.now_us() + STEP_US
        self.hand_in(ends_us)
        self.clock.advance(ends_us - self.clock.now_us())
        self.fire()
        self.deliver()
        self.post_tasks()
        self.bid_and_lease()
        self.investigate()
        self.vote()

    def post_tasks(self) -> None:
        """Post the tasks that are due by now: most of them research, the rest mixed."""
        wanted = int((self.clock.now_us() - START_US) / SECOND_US * self.tasks_per_second)
        if not self.is_posting or self.posted >= wanted:
            return
        with self.write(self.requester) as tx:
            while self.posted < wanted:
                self.posted += 1
                is_research = self.rng.random() < RESEARCH_SHARE
                self.post(tx, RESEARCH if is_research else self.rng.choice(OTHERS))

    def post(self, tx: Tx, kind: str) -> int:
        """Post one user task and return its id."""
        terms = TaskTerms(
            TaskKind.USER,
            kind,
            {"n": self.posted},
            {},
            self.requester,
            RESERVE_MICROCREDITS,
            TASK_DEADLINE_US,
        )
        return meta_task_market.post_task(tx, terms)

    def bid_and_lease(self) -> None:
        """Let every worker take the leases it has won and bid on some of what is open."""
        for place, agent_id in enumerate(self.workers):
            with self.write(agent_id) as tx:
                work = self.work_of(tx, agent_id, 50)
                for task in work["awards"]:
                    heapq.heappush(self.jobs, self._leased(tx, agent_id, task["task_id"], task["type"]))
                for task in work["open"]:
                    is_mine = (task["task_id"] + place) % len(self.workers) < BIDDERS_PER_TASK
                    if task["kind"] == TaskKind.USER and is_mine:
                        self._bid(tx, agent_id, task, 0.4 + 0.1 * place)

    def work_of(
        self, tx: Tx, agent_id: int, limit: int, types: list[str] | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Return what an agent can do now, as the API tells it."""
        found = meta_task_market.work_for(tx, agent_id=agent_id, types=types, limit=limit)
        return cast(dict[str, list[dict[str, Any]]], found)

    def _bid(self, tx: Tx, agent_id: int, task: dict[str, Any], share: float) -> None:
        meta_task_market.place_bid(
            tx,
            agent_id=agent_id,
            task_id=task["task_id"],
            ask_microcredits=int(task["reserve_price_microcredits"] * share),
            confidence_percent=None,
        )

    def _leased(self, tx: Tx, agent_id: int, task_id: int, kind: str) -> Job:
        lease = meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)
        taken = self.latency(self.rng) if kind == RESEARCH else 0.1
        done_us = tx.now_us + seconds(min(taken, lease.timeout_seconds))
        is_good = self.rng.random() < self.workers[agent_id]
        return Job(done_us, task_id, agent_id, lease.fencing_token, taken <= lease.timeout_seconds, is_good)

    def hand_in(self, until_us: int) -> None:
        """Hand in every job whose time comes up to an instant, each at its own instant."""
        while self.jobs and self.jobs[0].done_at_us <= until_us:
            job = heapq.heappop(self.jobs)
            self.clock.advance(max(0, job.done_at_us - self.clock.now_us()))
            outcome = SubmittedOutcome.COMPLETED if job.is_in_time else SubmittedOutcome.FAILED
            reason = None if job.is_in_time else EndReason.TIMED_OUT
            changed: dict[str, object] = {"is_good": job.is_good}
            self.submit(
                job.agent_id, job.task_id, job.token, Handoff("scripted", changed, ""), outcome, reason
            )

    def submit(
        self,
        agent_id: int,
        task_id: int,
        token: int,
        handoff: Handoff,
        outcome: SubmittedOutcome = SubmittedOutcome.COMPLETED,
        reason: EndReason | None = None,
    ) -> None:
        """Hand in one result."""
        with self.write(agent_id) as tx:
            meta_task_market.submit_result(
                tx,
                agent_id=agent_id,
                task_id=task_id,
                fencing_token=token,
                outcome=outcome,
                failure_reason=reason,
                handoff=handoff,
            )

    def investigate(self) -> None:
        """Let the diagnostician bid on investigations, and work on those that it has won."""
        if not self.is_bidding_on_investigations:
            return
        with self.platform.store.read() as tx:
            work = self.work_of(tx, self.diagnostician, 5, ["investigation"])
        for task in work["open"]:
            with self.write(self.diagnostician) as tx:
                self._bid(tx, self.diagnostician, task, 0.5)
        for task in work["awards"] if self.is_investigating else ():
            with self.write(self.diagnostician) as tx:
                lease = meta_task_market.take_lease(tx, agent_id=self.diagnostician, task_id=task["task_id"])
            draft = self.investigate_by(self, {**task["payload"], "task_id": task["task_id"]})
            filed = None if draft is None else self.file(draft)
            changed: dict[str, object] = {"proposal_id": filed, "finding": "scripted"}
            self.submit(
                self.diagnostician, task["task_id"], lease.fencing_token, Handoff("looked", changed, "")
            )

    def file(self, draft: ProposalDraft) -> int | None:
        """File a proposal as the diagnostician; keep a refusal and return None."""
        try:
            with self.write(self.diagnostician) as tx:
                return proposal_system.file_proposal(tx, self.platform.registry, draft, self.diagnostician)
        except NacreError as error:
            self.refusals.append(error)
            return None

    def vote(self) -> None:
        """Let the electors vote: the last `against` of them against, the others for."""
        with self.platform.store.read() as tx:
            is_idle = not sql.find_all(tx, tables.proposal, state=ProposalState.OPEN, limit=1)
        if is_idle or not self.is_voting:
            return
        for place, agent_id in enumerate(self.electors):
            with self.write(agent_id) as tx:
                work = self.work_of(tx, agent_id, 1)
                for item in work["proposals"]:
                    self.cast(tx, item["proposal_id"], agent_id, place < self.voters - self.against)

    def cast(self, tx: Tx, proposal_id: int, agent_id: int, is_for: bool) -> int:  # noqa: FBT001 (two words, one ballot)
        """Cast one ballot."""
        return proposal_system.cast_ballot(
            tx,
            proposal_id=proposal_id,
            agent_id=agent_id,
            choice=BallotChoice.FOR if is_for else BallotChoice.AGAINST,
            reason="" if is_for else "I doubt it.",
            forecast_percent=80 if is_for else 20,
        )

    def laps(self) -> list[dict[str, Any]]:
        """Return every lap as a reader sees it, newest first."""
        with self.platform.store.read() as tx:
            return list(views.list_laps(tx)["items"])

    def outcome(self) -> str | None:
        """Return how the first lap ended, None while it runs or before it began."""
        with self.platform.store.read() as tx:
            row = sql.find(tx, tables.lap, id=1)
        return None if row is None else row["outcome"]
