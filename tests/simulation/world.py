"""A whole platform on a virtual clock with scripted agents: real store, services, cron, votes, sandbox, ledger.

Agents act through the same services that the API calls; only the work itself is scripted: each task takes a
latency drawn from a seeded source, and an agent is stopped at the time its lease allows. One seed, one history.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app.agents.diagnosis import Knowledge, diagnose
from app.agents.evidence import parameter_fact, task_fact
from app.agents.investigation import proposal_body, question_of
from app.bootstrap import Platform, open_platform
from app.settings import Profile, Settings
from services import event_bus, meta_task_market, proposal_system
from services.cron_runner import run_tick
from services.domain.clock import SECOND_US, VirtualClock, seconds
from services.domain.errors import NacreError
from services.domain.handoff import Handoff
from services.domain.states import BallotChoice, EndReason, Scope, TaskKind
from services.meta_task_market import SubmittedOutcome, TaskTerms
from services.operations import agent_registry
from services.proposal_system import ProposalDraft
from services.store import views
from services.store.tx import Tx

STEP_US = SECOND_US // 4
RESEARCH = "research_synthesis"
OTHERS = ("monte_carlo", "physics_simulation", "ml_training")
STUCK_SECONDS = 10_000.0


def heavy(rng: random.Random) -> float:
    """Heavy tail: about a third of the tasks take over 0.9 s, about 6 % over 1.8 s."""
    return 0.573 * (1 - rng.random()) ** (-1 / 2.46)


def fast(rng: random.Random) -> float:
    """A source that is fast enough."""
    return 0.05 + 0.1 * rng.random()


def stuck(rng: random.Random) -> float:
    """A source that answers at once or never: no time allowed can cure it."""
    return STUCK_SECONDS if rng.random() < 0.35 else 0.1


@dataclass
class Job:
    """One lease at work: when it will be handed in, and as what."""

    agent_id: int
    task_id: int
    token: int
    done_at_us: int
    is_in_time: bool
    is_good: bool


@dataclass
class World:
    """The platform, its clock, its scripted agents, and what they are doing."""

    url: str
    folder: Path
    latency: Callable[[random.Random], float] = heavy
    seed: int = 7
    tasks_per_second: float = 8.0
    is_migrated: bool = True
    skills: tuple[float, ...] = (1.0, 0.98, 0.96, 0.5)
    voters: int = 6
    platform: Platform = field(init=False)
    clock: VirtualClock = field(init=False)
    rng: random.Random = field(init=False)
    workers: dict[int, float] = field(default_factory=dict)
    electors: list[int] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    requester: int = 0
    diagnostician: int = 0
    posted: int = 0
    due: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the platform and register the agents."""
        self.clock = VirtualClock()
        self.rng = random.Random(self.seed)
        settings = Settings(self.url, var_directory=self.folder, profile=Profile.DEMONSTRATION)
        self.platform = open_platform(
            settings,
            clock=self.clock,
            entropy=random.Random(self.seed + 1).randbytes,
            verify=lambda _type, _public, _private, result: (bool(result["is_good"]), {"reason": "scripted"}),
            is_migrated=self.is_migrated,
        )
        self.requester = self._register("requester", Scope.POST)
        for number, skill in enumerate(self.skills):
            self.workers[self._register(f"worker_{number}", Scope.BID)] = skill
        self.diagnostician = self._register("diagnostician", Scope.BID, Scope.PROPOSE, Scope.VOTE)
        self.electors = [self._register(f"voter_{number}", Scope.VOTE) for number in range(self.voters)]

    def _register(self, name: str, *scopes: Scope) -> int:
        with self.platform.store.write(actor="operator") as tx:
            key = agent_registry.key_hash(name)
            return agent_registry.register(
                tx, name=name, owner="scripted", scopes=scopes, is_vouched=True, key_hash=key
            )

    def write(self, agent_id: int) -> "event_bus.Callable[..., object]":
        """Return a write transaction of this agent."""
        return self.platform.store.write(actor=f"agent:{agent_id}")

    def run(self, *, until: Callable[["World"], bool], at_most_seconds: float) -> bool:
        """Step until the condition holds; tell whether it did within the (virtual) time."""
        ends_us = self.clock.now_us() + seconds(at_most_seconds)
        while self.clock.now_us() < ends_us:
            self.step()
            if until(self):
                return True
        return False

    def step(self) -> None:
        """Let a quarter of a second pass: tasks come, agents act, jobs fire, events are delivered."""
        self.clock.advance(STEP_US)
        self.post_tasks()
        self.bid_and_lease()
        self.hand_in()
        self.investigate()
        self.vote()
        self.fire()
        event_bus.drain(self.platform.store, self.platform.subscribers)

    def fire(self) -> None:
        """Run every job whose next tick has come."""
        now_us = self.clock.now_us()
        for job in sorted(self.platform.jobs, key=lambda job: job.priority):
            due_us = job.due_at_us(now_us)
            if self.due.get(job.name) != due_us:
                self.due[job.name] = due_us
                run_tick(self.platform.store, self.platform.context, job, due_us, "world")

    def post_tasks(self) -> None:
        """Post the tasks that are due by now: two thirds research, the rest mixed."""
        wanted = int((self.clock.now_us() - 1_767_225_600 * SECOND_US) / SECOND_US * self.tasks_per_second)
        while self.posted < wanted:
            self.posted += 1
            kind = RESEARCH if self.rng.random() < 0.67 else self.rng.choice(OTHERS)
            terms = TaskTerms(TaskKind.USER, kind, {"n": self.posted}, {}, self.requester, 1_000_000, 600 * SECOND_US)
            with self.write(self.requester) as tx:
                meta_task_market.post_task(tx, terms)

    def bid_and_lease(self) -> None:
        """Every worker bids on what is open and takes the leases it has won; so does the diagnostician."""
        for agent_id in [*self.workers, self.diagnostician]:
            with self.write(agent_id) as tx:
                agent_registry.touch(tx, agent_id)
                work = meta_task_market.work_for(tx, agent_id=agent_id, types=None, limit=50)
                for task in work["open"]:
                    if (task["kind"] == TaskKind.META) == (agent_id == self.diagnostician):
                        ask = int(task["reserve_price_microcredits"] * (0.4 + 0.1 * (agent_id % 4)))
                        meta_task_market.place_bid(
                            tx, agent_id=agent_id, task_id=task["task_id"], ask_microcredits=ask,
                            confidence_percent=None,
                        )  # fmt: skip
                if agent_id != self.diagnostician:
                    for task in work["awards"]:
                        self.jobs.append(self._leased(tx, agent_id, task["task_id"], task["type"]))

    def _leased(self, tx: Tx, agent_id: int, task_id: int, kind: str) -> Job:
        lease = meta_task_market.take_lease(tx, agent_id=agent_id, task_id=task_id)
        taken = self.latency(self.rng) if kind == RESEARCH else 0.1
        is_in_time = taken <= lease.timeout_seconds
        done_us = self.clock.now_us() + seconds(min(taken, lease.timeout_seconds))
        is_good = self.rng.random() < self.workers[agent_id]
        return Job(agent_id, task_id, lease.fencing_token, done_us, is_in_time, is_good)

    def hand_in(self) -> None:
        """Hand in every job whose time has come."""
        now_us = self.clock.now_us()
        ready = [job for job in self.jobs if job.done_at_us <= now_us]
        self.jobs = [job for job in self.jobs if job.done_at_us > now_us]
        for job in ready:
            with self.write(job.agent_id) as tx:
                meta_task_market.submit_result(
                    tx,
                    agent_id=job.agent_id,
                    task_id=job.task_id,
                    fencing_token=job.token,
                    outcome=SubmittedOutcome.COMPLETED if job.is_in_time else SubmittedOutcome.FAILED,
                    failure_reason=None if job.is_in_time else EndReason.TIMED_OUT,
                    handoff=Handoff("scripted", {"is_good": job.is_good}, ""),
                )

    def investigate(self) -> None:
        """Let the diagnostician work on an investigation it has won, with the fleet's own analysis."""
        store = self.platform.store
        with self.write(self.diagnostician) as tx:
            awards = meta_task_market.work_for(tx, agent_id=self.diagnostician, types=None, limit=5)["awards"]
            leases = [
                (task, meta_task_market.take_lease(tx, agent_id=self.diagnostician, task_id=task["task_id"]))
                for task in awards
            ]
        for task, lease in leases:
            with store.read() as tx:
                facts = [
                    task_fact(item)
                    for state in ("settled", "failed")
                    for item in views.list_tasks(tx, kind="user", state=state, limit=500)["items"]
                ]
                rows = views.list_parameters(tx, self.platform.registry)
            parameters = [fact for item in _items(rows) if (fact := parameter_fact(item))]
            finding = diagnose(Knowledge(facts, parameters), question_of(task["payload"]))
            proposal_id = None
            if finding.draft is not None:
                body = proposal_body(task["task_id"], finding.draft)
                body.pop("guardrails")
                draft = ProposalDraft(**{**body, "evidence": tuple(body["evidence"])})
                proposal_id = self._file(draft)
            handoff = Handoff("looked", {"proposal_id": proposal_id, "finding": finding.summary}, "")
            with self.write(self.diagnostician) as tx:
                meta_task_market.submit_result(
                    tx, agent_id=self.diagnostician, task_id=task["task_id"], fencing_token=lease.fencing_token,
                    outcome=SubmittedOutcome.COMPLETED, failure_reason=None, handoff=handoff,
                )  # fmt: skip

    def _file(self, draft: ProposalDraft) -> int | None:
        try:
            with self.write(self.diagnostician) as tx:
                return proposal_system.file_proposal(tx, self.platform.registry, draft, self.diagnostician)
        except NacreError:
            return None

    def vote(self) -> None:
        """Let every elector vote for; the last one votes against."""
        for agent_id in self.electors:
            with self.write(agent_id) as tx:
                open_ballots = meta_task_market.work_for(tx, agent_id=agent_id, types=None, limit=1)["proposals"]
            for item in open_ballots:
                is_last = agent_id == self.electors[-1]
                try:
                    with self.write(agent_id) as tx:
                        proposal_system.cast_ballot(
                            tx,
                            proposal_id=item["proposal_id"],
                            agent_id=agent_id,
                            choice=BallotChoice.AGAINST if is_last else BallotChoice.FOR,
                            reason="I doubt it." if is_last else "",
                            forecast_percent=20 if is_last else 80,
                        )
                except NacreError:
                    continue

    def laps(self) -> list[dict[str, object]]:
        """Return every lap, newest first."""
        with self.platform.store.read() as tx:
            return _items(views.list_laps(tx))


def _items(found: object) -> list[dict[str, object]]:
    return found["items"] if isinstance(found, dict) else list(found)  # type: ignore[call-overload]
