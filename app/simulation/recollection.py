"""Does remembering help? The same trouble, diagnosed with and without what the nights have learned.

Stands behind the benchmark of the nightly consolidation. A real platform's tables get two weeks of ended
work, its own job dreams, its own read model answers, and the fleet's own diagnosis reads that, or does not.
What is proposed wrongly is tried by the platform's own bet before the next look. It knows the truth, which
the diagnosis never sees.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.agents.diagnosis import Draft, Knowledge, Question, diagnose
from app.agents.evidence import Attempted, ParameterFact, Risk, TaskFact, TaskState
from app.agents.memory import Memory, memory_of
from app.settings import Profile
from app.simulation.nights import DAYS, KIND, LIMIT, NightWorld, Outcome, Values, outcome, true_rate
from app.simulation.stage import START_US, Stage
from app.simulation.task_types import made_up_types
from services.domain import sequential
from services.domain.bet import BetPlan, Record, Verdict
from services.domain.clock import DAY_US, HOUR_US, seconds
from services.domain.patterns import PatternKind
from services.domain.states import AttemptState, EndReason, Scope, TaskKind
from services.domain.states import TaskState as Ends
from services.operations import dreaming
from services.store import sql, tables, views

WORKERS: Final = 4
LOOK_EVERY_TASKS: Final = 30
HORIZON_TASKS: Final = 2_000
LEAST_GAIN: Final = 0.05
"""A change is right when it cures (see the world) and truly gains this much success rate, at least half of
what one change of that setting can gain."""
BASELINE_RATE: Final = 0.93


@dataclass(frozen=True, slots=True)
class Way:
    """How long one diagnostician took: tasks from the anomaly to the right proposal (the horizon where it
    never came), wrong proposals on the way, tasks that their trials took.
    """

    tasks: int
    is_found: bool
    wrong: int
    trial_tasks: int


@dataclass(slots=True)
class Case:
    """One diagnostician at one trouble; it looks, proposes, sees trials end, and looks again."""

    world: NightWorld
    memory: Memory
    rng: random.Random
    workers: tuple[int, ...]
    facts: list[TaskFact] = field(default_factory=list)
    attempted: list[Attempted] = field(default_factory=list)
    wrong: int = 0
    trial_tasks: int = 0

    def run(self) -> Way:
        """Go on until the right change is proposed, or the horizon is reached."""
        self.work(self.world.window_tasks)
        while len(self.facts) < HORIZON_TASKS:
            draft = diagnose(self._known(), Question("task_type", KIND, BASELINE_RATE)).draft
            if draft is None:
                self.work(LOOK_EVERY_TASKS)
                continue
            if is_right(self.world, draft):
                return Way(len(self.facts), True, self.wrong, self.trial_tasks)  # noqa: FBT003
            self.wrong += 1
            self._try(draft)
        return Way(HORIZON_TASKS, False, self.wrong, self.trial_tasks)  # noqa: FBT003

    def work(self, count: int) -> None:
        """Let some tasks run under today's values."""
        for _ in range(count):
            self._one(self.world.today)

    def _one(self, values: Values) -> Outcome:
        found = outcome(self.world, self.rng, values, is_hard=True)
        number = len(self.facts) + 1
        reason = found.reason or EndReason.VERIFIED
        state = TaskState.SETTLED if found.reason is None else TaskState.FAILED
        agent = self.workers[self.rng.randrange(len(self.workers))]
        self.facts.append(TaskFact(number, KIND, state, reason, found.seconds, agent, 1, dict(values)))
        return found

    def _known(self) -> Knowledge:
        limits = [
            ParameterFact(
                name, value, 0.01, 1_000.0, 2.0, "seconds" if name == LIMIT else "factor", Risk.OPEN
            )
            for name, value in self.world.today.items()
        ]
        return Knowledge(self.facts, limits, self.attempted, self.memory)

    def _try(self, draft: Draft) -> None:
        """Run the trial of a wrong proposal by the platform's bet, to its verdict, its cap or the horizon."""
        treated = {**self.world.today, draft.parameter: float(draft.to)}
        plan = BetPlan(effect=float(draft.expected_effect), cap_tasks=draft.cap_tasks)
        state = sequential.start(plan)
        verdict: Verdict | None = None
        ordinal = 0
        while verdict is None and len(self.facts) < HORIZON_TASKS:
            arm = self.rng.randrange(2)
            is_good = self._one(treated if arm else self.world.today).reason is None
            record = Record(ordinal=ordinal, unit=str(ordinal), arm=arm, share=0.5, outcome=float(is_good))
            state = sequential.update(plan, state, record)
            verdict = sequential.decide(plan, state).verdict
            ordinal += 1
        self.trial_tasks += ordinal
        self.attempted.append(Attempted(draft.parameter, float(draft.to), verdict and str(verdict)))


def is_right(world: NightWorld, draft: Draft) -> bool:
    """Tell whether a proposal is right: it touches a cure and brings half of what the cure can."""
    if draft.parameter not in world.cures:
        return False
    values = world.today
    gain = true_rate(world, {**values, draft.parameter: float(draft.to)}) - true_rate(world, values)
    best = max(
        true_rate(world, {**values, draft.parameter: values[draft.parameter] * factor})
        for factor in (0.5, 2.0)
    )
    return gain >= max(LEAST_GAIN, (best - true_rate(world, values)) / 2)


def compare(world: NightWorld, seed: int, url: str, folder: Path) -> tuple[Way, Way]:
    """Return the way without and with memory of one trouble; `url` is an empty, migrated database."""
    stage = Stage(
        url,
        folder,
        seed,
        profile=Profile.STANDARD,
        starting_values={name: f"{value:g}" for name, value in world.today.items()},
        task_types=made_up_types(1, 3),
    )
    try:
        workers = tuple(stage.register(f"worker_{number}", Scope.BID) for number in range(WORKERS))
        live(stage, world, workers, random.Random(f"{seed}:{world.name}:past"))
        memory = dreamt(stage)
    finally:
        stage.close()
    without, remembering = (
        Case(world, known, random.Random(f"{seed}:{world.name}:today"), workers)
        for known in (Memory(), memory)
    )
    return without.run(), remembering.run()


def live(stage: Stage, world: NightWorld, workers: tuple[int, ...], rng: random.Random) -> None:
    """Fill the two weeks before today with ended tasks, and let the clock stand at three in the morning."""
    requester = stage.register("requester", Scope.POST)
    tasks: list[Mapping[str, Any]] = []
    for day in range(DAYS):
        mix, is_hard = world.past(day)
        for place in range(world.tasks_per_day):
            values = rng.choices([values for _, values in mix], [share for share, _ in mix])[0]
            found = outcome(world, rng, values, is_hard=is_hard)
            at_us = START_US + day * DAY_US + place * DAY_US // world.tasks_per_day
            tasks.append(_row(values, found, at_us, requester, rng.choice(workers)))
    stage.clock.advance(DAYS * DAY_US + 3 * HOUR_US)
    with stage.platform.store.write(actor="system:simulation") as tx:
        ids = sql.reserve_ids(tx, tables.task, len(tasks))
        sql.insert_many(
            tx, tables.task, [{"id": number, **row} for number, row in zip(ids, tasks, strict=True)]
        )
        failed = [(n, row) for n, row in zip(ids, tasks, strict=True) if row["state"] == Ends.FAILED]
        sql.insert_many(tx, tables.attempt, [_attempt(number, row) for number, row in failed])


def dreamt(stage: Stage) -> Memory:
    """Let the night pass and return what a diagnostician reads afterwards."""
    platform = stage.platform
    found = {"tasks": 1}
    while any(found.values()):
        with platform.store.write(actor="system:autodream_consolidation") as tx:
            found = dreaming.consolidate(tx, platform.registry)
    with platform.store.read() as tx:
        settings = views.list_patterns(tx, kind=PatternKind.SETTING, limit=500)["items"]
        candidates = views.list_patterns(tx, kind=PatternKind.CANDIDATE, limit=500)["items"]
    return memory_of(settings, candidates)


def _row(values: Values, found: Outcome, at_us: int, requester: int, worker: int) -> dict[str, Any]:
    in_force = {
        name: {"value": f"{value:g}", "source": "default", "version": 1, "arm": None, "experiment_id": None}
        for name, value in values.items()
    }
    return {
        "kind": TaskKind.USER, "type": KIND, "requester_id": requester, "public": {}, "private": {},
        "state": Ends.SETTLED if found.reason is None else Ends.FAILED, "attempt_count": 1,
        "reserve_price_microcredits": 1, "maximum_attempts": 1, "awarded_agent_id": worker,
        "effective_values": in_force, "posted_at_us": at_us, "bids_close_at_us": at_us,
        "deadline_at_us": at_us, "ended_at_us": at_us, "end_reason": found.reason or EndReason.VERIFIED,
        "duration_us": seconds(found.seconds),
    }  # fmt: skip


def _attempt(task_id: int, row: Mapping[str, Any]) -> dict[str, Any]:
    at_us = row["ended_at_us"]
    return {
        "task_id": task_id, "agent_id": row["awarded_agent_id"], "number": 1, "state": AttemptState.FAILED,
        "leased_at_us": at_us, "allowed_until_us": at_us, "expires_at_us": at_us,
        "heartbeat_at_us": at_us, "ended_at_us": at_us, "reason": row["end_reason"],
    }  # fmt: skip
