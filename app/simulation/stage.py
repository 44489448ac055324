"""A real platform on a virtual clock: opened over a database, its jobs fired, its events delivered.

Stands under every simulated world. Nothing of the platform is replaced but the clock, the entropy (seeded)
and the verifier (it believes what the scripted agents say of their own work). SQLite is not synced to the
disk: nobody cuts the power of a simulation. It never acts for an agent.
"""

import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.bootstrap import Platform, open_platform
from app.settings import Profile, Settings
from app.tasks.task_type import TaskType
from services import event_bus
from services.cron_runner import Health, Timetable, run_tick
from services.domain.budget import DAY, BudgetKey, BudgetScope, Resource
from services.domain.clock import MINUTE_US, SECOND_US, VirtualClock
from services.domain.states import Scope
from services.operations import agent_registry, budget_governor
from services.store.tx import Tx

START_US = 1_767_225_600 * SECOND_US
PROCESS = "world"
HEALTH_KEPT_US = 15 * MINUTE_US
"""How old the health may be by which a simulation orders its jobs."""
AMPLE_MICROCREDITS = 10**15
AMPLE = "a simulated day may hold a month's work"
"""Why the requesters of simulations are not stopped by the budgets of a day."""


def believe(
    task_type: str,
    public: Mapping[str, object],
    private: Mapping[str, object],
    result: Mapping[str, object],
) -> tuple[bool, dict[str, object]]:
    """Verify a scripted result: it says itself whether it is good."""
    del task_type, public, private
    return bool(result["is_good"]), {"reason": "scripted"}


@dataclass
class Stage:
    """The platform, its clock and its entropy; agents come and act from outside.

    `starting_values` come on top of the profile's; `intervals_seconds` replaces how often jobs run, by
    their name. Without `task_types` the built-in ones are offered.
    """

    url: str
    folder: Path
    seed: int
    is_migrated: bool = True
    profile: Profile = Profile.DEMONSTRATION
    starting_values: Mapping[str, str] = field(default_factory=dict)
    intervals_seconds: Mapping[str, float] = field(default_factory=dict)
    task_types: Mapping[str, TaskType] | None = None
    platform: Platform = field(init=False)
    clock: VirtualClock = field(init=False)
    entropy: random.Random = field(init=False)
    due: dict[str, int] = field(default_factory=dict)
    _health: Health = field(init=False)

    def __post_init__(self) -> None:
        """Open the platform for the first time."""
        self.clock = VirtualClock(START_US)
        self.entropy = random.Random(self.seed + 1)
        self.open()

    def open(self) -> None:
        """Open the platform over the database; again after `close`, as a process that restarts."""
        settings = Settings(self.url, var_directory=self.folder, profile=self.profile)
        platform = open_platform(
            settings,
            clock=self.clock,
            entropy=self.entropy.randbytes,
            verify=believe,
            starting_values=self.starting_values,
            task_types=self.task_types,
            is_migrated=self.is_migrated,
        )
        every = self.intervals_seconds
        platform.jobs = tuple(
            replace(job, every_seconds=every[job.name], daily_at=None) if job.name in every else job
            for job in platform.jobs
        )
        self.platform = platform
        self._health = Health(platform.store, HEALTH_KEPT_US)
        do_without_sync(platform)

    def close(self) -> None:
        """Close the platform's database."""
        self.platform.close()

    def register(self, name: str, *scopes: Scope, owner: str = "scripted", is_vouched: bool = True) -> int:
        """Register one more agent and return its id."""
        with self.platform.store.write(actor="operator") as tx:
            key = agent_registry.key_hash(name)
            agent_id = agent_registry.register(
                tx, name=name, owner=owner, scopes=scopes, is_vouched=is_vouched, key_hash=key
            )
            if Scope.POST in scopes:
                for budget in (BudgetKey(BudgetScope.AGENT, str(agent_id)), DAY):
                    budget_governor.set_limit(
                        tx, budget, Resource.MICROCREDITS, AMPLE_MICROCREDITS, reason=AMPLE
                    )
            return agent_id

    def write(self, agent_id: int) -> AbstractContextManager[Tx]:
        """Return a write transaction of this agent."""
        return self.platform.store.write(actor=f"agent:{agent_id}")

    def deliver(self) -> int:
        """Deliver every event that is due; return how many deliveries were tried."""
        return event_bus.drain(self.platform.store, self.platform.subscribers)

    def fire(self) -> None:
        """Run every job whose next tick has come, the most urgent first."""
        now_us, timetable = self.clock.now_us(), Timetable(self.platform.jobs, self.due)
        if not timetable.might_be_due(now_us):
            return
        points = self._health.points()
        for job, due_us in timetable.take(now_us, points):
            run_tick(self.platform.store, self.platform.context, job, due_us, PROCESS, health_points=points)

    @property
    def elapsed_seconds(self) -> float:
        """Return how much virtual time has passed since the start."""
        return (self.clock.now_us() - START_US) / SECOND_US


def acting(tx: Tx, agent_id: int) -> Tx:
    """Return the same transaction with another agent acting in it."""
    return replace(tx, actor=f"agent:{agent_id}")


def do_without_sync(platform: Platform) -> None:
    """Keep SQLite from waiting for the disk at every commit.

    One thread drives the whole simulation, so that the pool holds one connection, and this is it.
    """
    store = platform.store
    if store.engine.dialect.name != "sqlite":
        return
    store.engine.dispose()
    connection = store.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()
    finally:
        connection.close()
