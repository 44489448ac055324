"""The loop all workers share: bid on open tasks, take leases for awards, run the tool, hand in the result.

One thread, so that forking is safe. The time a lease allows counts from the moment it was granted; when it
has passed, the child is killed and the failure reported. A result that is refused is dropped (a lost lease).
It never judges its own work: the platform's verifier does.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.agents import runtime
from app.agents.client import ApiProblem, JsonObject, NacreClient, UnreachableError
from app.agents.runtime import Pace, log
from app.agents.tool_process import (
    RunEnd,
    RunOutcome,
    Tool,
    ToolProcess,
    freeze_before_forking,
    wait_for_any,
)
from app.tasks.registry import load_registry

HEARTBEAT_SECONDS = 3.0
BIDDING_PAUSE_SECONDS = 10.0
WAIT_SECONDS = 4.0
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class WorkerProfile:
    """What makes one worker differ from another. `effort` in (0, 1] goes to the tools; the ask is
    `price_factor` of the reserve price; `slots` is how many tasks it runs at once.
    """

    name: str
    effort: float
    price_factor: float
    confidence_percent: int
    slots: int


@dataclass(slots=True)
class Job:
    """A lease under way."""

    task_id: int
    fencing_token: int
    process: ToolProcess
    heartbeat_at: float


@dataclass(slots=True)
class Worker:
    """One worker: what it runs now and when it asks the market again."""

    client: NacreClient
    profile: WorkerProfile
    tools: Mapping[str, Tool]
    jobs: list[Job] = field(default_factory=list)
    poll_at: float = 0.0
    idle_steps: int = 0
    bids_again_at: float = 0.0
    pace: Pace = field(default_factory=Pace)

    def step(self) -> bool:
        """Hand in what is finished, ask the market when it is time, rest until something happens."""
        self.reap()
        asked_at = time.monotonic()
        if asked_at >= self.poll_at:
            self.idle_steps = 0 if self.ask_market() else self.idle_steps + 1
            has_waited = time.monotonic() >= asked_at + WAIT_SECONDS
            rest = 0.0 if has_waited else self.pace.rest_seconds(self.idle_steps)
            self.poll_at = time.monotonic() + rest
        rest = min([self.poll_at, *(job.heartbeat_at for job in self.jobs)]) - time.monotonic()
        wait_for_any((job.process for job in self.jobs), max(0.0, rest))
        return True

    def ask_market(self) -> bool:
        """Take leases while a slot is free, bid on open tasks; True when there was anything to do.

        Without a job under way the platform is left to answer when there is something to do.
        """
        may_wait = not self.jobs and time.monotonic() >= self.bids_again_at
        work = self.client.work(sorted(self.tools), limit=10, wait_seconds=WAIT_SECONDS if may_wait else 0.0)
        waiting = list(work["awards"])
        while waiting and len(self.jobs) < self.profile.slots:
            self._begin(waiting.pop(0))
            self.reap()
        room = 2 * self.profile.slots - len(waiting) - len(self.jobs)
        if time.monotonic() >= self.bids_again_at:
            for task in work["open"][: max(0, room)]:
                self._bid(task)
                self.reap()
        return bool(work["awards"] or work["open"] or self.jobs)

    def reap(self) -> None:
        """Hand in every run that has ended; keep the leases of the others alive."""
        for job in list(self.jobs):
            outcome = job.process.poll()
            if outcome is not None:
                self.jobs.remove(job)
                self._hand_in(job, outcome)
            elif time.monotonic() >= job.heartbeat_at:
                self._keep_alive(job)

    def close(self) -> None:
        """Kill every child."""
        for job in self.jobs:
            job.process.kill()
        self.jobs.clear()

    def _begin(self, award: JsonObject) -> None:
        try:
            lease = self.client.lease(award["task_id"])
        except ApiProblem as problem:
            log(f"no lease of task {award['task_id']}: {problem}")
            return
        tool = self.tools[award["type"]]
        process = ToolProcess(tool, lease["payload"], self.profile.effort, float(lease["timeout_seconds"]))
        heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        self.jobs.append(Job(award["task_id"], lease["fencing_token"], process, heartbeat_at))

    def _bid(self, task: JsonObject) -> None:
        ask = max(1, int(self.profile.price_factor * task["reserve_price_microcredits"]))
        try:
            self.client.bid(task["task_id"], ask, self.profile.confidence_percent)
        except ApiProblem as problem:
            if problem.status == FORBIDDEN:
                if not self.bids_again_at:
                    log(f"bids are refused, trying now and then: {problem}")
                self.bids_again_at = time.monotonic() + BIDDING_PAUSE_SECONDS

    def _keep_alive(self, job: Job) -> None:
        job.heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        try:
            self.client.heartbeat(job.task_id, job.fencing_token)
        except ApiProblem as problem:
            log(f"lost the lease of task {job.task_id}: {problem}")
            job.process.kill()
            self.jobs.remove(job)
        except UnreachableError as error:
            log(f"no heartbeat for task {job.task_id}: {error}")

    def _hand_in(self, job: Job, outcome: RunOutcome) -> None:
        reason = None if outcome.end is RunEnd.COMPLETED else str(outcome.end)
        try:
            self.client.submit(job.task_id, job.fencing_token, handoff_of(outcome), reason)
        except (ApiProblem, UnreachableError) as error:
            log(f"result of task {job.task_id} dropped: {error}")


def handoff_of(outcome: RunOutcome) -> JsonObject:
    """The three fields for a run: what was done, what changed (the result), what the next should know."""
    if outcome.end is RunEnd.COMPLETED:
        done = f"Ran the tool in {outcome.elapsed_seconds:.3f} s."
        return {"done": done, "changed": outcome.result, "next": ""}
    return {
        "done": f"Tried for {outcome.elapsed_seconds:.3f} s: {outcome.error}"[:4000],
        "changed": {},
        "next": "Nothing was produced; the task can be tried again from the start.",
    }


def load_tools() -> dict[str, Tool]:
    """Every known task type's tool, with its libraries loaded now, in the parent of all children."""
    registry = load_registry()
    for broken in registry.broken:
        log(f"task type {broken.name} left out: {broken.why}")
    return {name: kind.load_tool() for name, kind in registry.types.items()}


def run_worker(profile: WorkerProfile, tools: Mapping[str, Tool] | None = None) -> None:
    """Run a worker until it is told to end, with the tools given or those of every known task type."""
    tools = load_tools() if tools is None else tools
    freeze_before_forking()
    with NacreClient.from_environment() as client:
        worker = Worker(client, profile, tools)
        log(f"{profile.name} works on {', '.join(sorted(tools))}")
        try:
            runtime.run(worker.step, Pace(busy_seconds=0.0, idle_seconds=0.0))
        finally:
            worker.close()
