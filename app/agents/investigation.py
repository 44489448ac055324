"""What the diagnosticians share: bid on investigations, look at the evidence, file what follows from it,
report.

They also vote, where they may, on their peers' proposals: for what they would have found themselves.
They use the API like anyone, never see more than others do, and file nothing that the data do not show.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.agents import runtime
from app.agents.client import ApiProblem, JsonObject, NacreClient, UnreachableError
from app.agents.diagnosis import Draft, Finding, Knowledge, Question, diagnose
from app.agents.evidence import all_parameters, around_an_episode, attempted_changes, ended_tasks
from app.agents.memory import recalled
from app.agents.runtime import Pace, log
from app.agents.voter import Choice, Opinion, cast_ballots

INVESTIGATION = "investigation"
HEARTBEAT_SECONDS = 2.0
TEXT_LIMIT = 4000
ADMISSION_REFUSED = "admission_refused"
ALREADY_LIVE = "proposal_already_live"
CAP_GROWTH = 2
LIVE_STATES = ("open", "passed", "testing")


@dataclass(frozen=True, slots=True)
class InvestigatorProfile:
    """What sets one diagnostician apart: its price, and how much of a predicted gain it promises."""

    name: str
    price_factor: float
    confidence_percent: int
    caution: float


class Investigator:
    """A diagnostician at work."""

    def __init__(self, client: NacreClient, profile: InvestigatorProfile) -> None:
        self._client = client
        self._profile = profile

    def step(self) -> bool:
        """Take investigations awarded to me, bid on new ones, vote; True when there was anything to do."""
        work = self._client.work([INVESTIGATION])
        for award in work["awards"]:
            if award["type"] == INVESTIGATION:
                self._take(award)
        for task in work["open"]:
            if task["type"] == INVESTIGATION:
                self._bid(task)
        has_voted = cast_ballots(self._client, work["proposals"], self._opinion)
        return bool(work["awards"] or work["open"] or has_voted)

    def _bid(self, task: JsonObject) -> None:
        ask = max(1, int(self._profile.price_factor * task["reserve_price_microcredits"]))
        try:
            self._client.bid(task["task_id"], ask, self._profile.confidence_percent)
        except ApiProblem as problem:
            log(f"no bid on task {task['task_id']}: {problem}")

    def _take(self, award: JsonObject) -> None:
        task_id = award["task_id"]
        try:
            lease = self._client.lease(task_id)
        except ApiProblem as problem:
            log(f"no lease of task {task_id}: {problem}")
            return
        due_at = time.monotonic() + float(lease["timeout_seconds"])
        token = lease["fencing_token"]
        keep_alive = _heartbeats(self._client, task_id, token)
        reason = None
        try:
            with self._client.due(due_at):
                handoff = self._investigated(task_id, lease["payload"], keep_alive)
        except UnreachableError as error:
            reason, handoff = "timed_out", _handoff(f"Stopped: {error}", None, "Nothing was found in time.")
        except ApiProblem as problem:
            reason, handoff = "agent_error", _handoff(f"Refused: {problem}", None, "Nothing was found.")
        try:
            self._client.submit(task_id, token, handoff, reason)
        except ApiProblem as problem:
            log(f"finding of task {task_id} dropped: {problem}")

    def _investigated(self, task_id: int, payload: Mapping[str, Any], beat: Callable[[], None]) -> JsonObject:
        facts = around_an_episode(self._client, payload, beat)
        attempted = attempted_changes(self._client)
        known = Knowledge(facts, all_parameters(self._client), attempted, recalled(self._client))
        beat()
        finding = diagnose(known, question_of(payload), self._profile.caution)
        done = f"Looked at {len(facts)} tasks, {sum(fact.is_failure for fact in facts)} of them failed."
        if finding.draft is None:
            return _handoff(done, None, finding.summary)
        return self._filed(task_id, finding, finding.draft, done)

    def _filed(self, task_id: int, finding: Finding, draft: Draft, done: str) -> JsonObject:
        peer_id = self._live_proposal(draft.parameter)
        if peer_id is not None:
            text = f"{finding.summary} Not filed: proposal {peer_id} on {draft.parameter} is live."
            return _handoff(done, peer_id, text)
        try:
            proposal_id = self._file(task_id, draft)
        except ApiProblem as problem:
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            log(f"proposal refused: {problem}")
            live_id = problem.extra.get("proposal_id") if problem.code == ALREADY_LIVE else None
            return _handoff(done, live_id, f"{finding.summary} The proposal was refused: {problem}.")
        return _handoff(done, proposal_id, finding.summary)

    def _file(self, task_id: int, draft: Draft) -> int:
        body = proposal_body(task_id, draft)
        try:
            filed = self._client.post("/proposals", body)
        except ApiProblem as problem:
            if problem.code != ADMISSION_REFUSED:
                raise
            log(f"trying again with a larger cap: {problem}")
            body["cap_tasks"] = larger_cap(draft.cap_tasks, problem)
            filed = self._client.post("/proposals", body)
        return int(filed["proposal_id"])

    def _live_proposal(self, parameter: str) -> int | None:
        for state in LIVE_STATES:
            for proposal in self._client.items("/proposals", pages=1, state=state):
                if proposal["parameter"] == parameter:
                    return int(proposal["proposal_id"])
        return None

    def _opinion(self, proposal: JsonObject) -> Opinion:
        facts = ended_tasks(self._client, ended_after=None)
        known = Knowledge(facts, all_parameters(self._client), memory=recalled(self._client))
        finding = diagnose(known, Question(), self._profile.caution)
        return review(proposal, finding)


def review(proposal: Mapping[str, Any], finding: Finding) -> Opinion:
    """Rule: for a change of the parameter and in the direction that my own diagnosis finds too."""
    mine = finding.draft
    if mine is None or mine.parameter != proposal["parameter"]:
        return Opinion(Choice.AGAINST, f"I do not find this myself. {finding.summary}"[:TEXT_LIMIT], 25)
    is_up, mine_is_up = (
        float(to) > float(current)
        for to, current in ((proposal["to"], proposal["from"]), (mine.to, mine.current))
    )
    if is_up is not mine_is_up:
        return Opinion(Choice.AGAINST, f"I find the other direction. {mine.root_cause}"[:TEXT_LIMIT], 15)
    return Opinion(Choice.FOR, f"I find the same, up to {mine.to}. {mine.root_cause}"[:TEXT_LIMIT], 80)


def question_of(payload: Mapping[str, Any]) -> Question:
    """What an investigation's payload asks."""
    baseline = payload.get("baseline_rate")
    rate = None if baseline is None else float(baseline)
    return Question(str(payload.get("dimension") or "platform"), str(payload.get("key") or ""), rate)


def proposal_body(task_id: int, draft: Draft) -> JsonObject:
    """The body of POST /proposals for a draft."""
    return {
        "parameter": draft.parameter,
        "to": draft.to,
        "expected_effect": draft.expected_effect,
        "root_cause": draft.root_cause[:TEXT_LIMIT],
        "evidence": list(draft.evidence),
        "cap_tasks": draft.cap_tasks,
        "cap_days": draft.cap_days,
        "meta_task_id": task_id,
        "guardrails": [],
    }


def larger_cap(cap_tasks: int, problem: ApiProblem) -> int:
    """A cap that fits the figure an admission refusal names, or twice the present one when it names none."""
    named = [value for value in problem.extra.values() if type(value) is int]
    return CAP_GROWTH * max(cap_tasks, *named) if named else CAP_GROWTH * cap_tasks


def run_investigator(profile: InvestigatorProfile) -> None:
    """Run a diagnostician until it is told to end."""
    with NacreClient.from_environment() as client:
        runtime.run(Investigator(client, profile).step, Pace(busy_seconds=0.3))


def _heartbeats(client: NacreClient, task_id: int, token: int) -> Callable[[], None]:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= HEARTBEAT_SECONDS:
            client.heartbeat(task_id, token)
            last = time.monotonic()

    return beat


def _handoff(done: str, proposal_id: int | None, finding: str) -> JsonObject:
    following = "Vote on the proposal." if proposal_id is not None else "No change is proposed."
    changed = {"proposal_id": proposal_id, "finding": finding[:TEXT_LIMIT]}
    return {"done": done[:TEXT_LIMIT], "changed": changed, "next": following}
