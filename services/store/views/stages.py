"""The seven stages of a lap as a reader sees them: what is done, what runs, what failed, and where to look.

Stands under the lap's read model. Every stage is derived from recorded facts of the lap (episode,
meta-task, proposal, experiment, ledger entries), each of which proves its own hop: cut a hop and its stage
stays waiting.
It never stores a stage and never moves anything on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.domain.bet import Verdict
from services.domain.ledger_schema import EntryType
from services.domain.states import (
    TASK_ENDS,
    EpisodeState,
    ExperimentState,
    Leg,
    ProposalState,
    TaskState,
)

JsonObject = dict[str, Any]


class StageName(StrEnum):
    """The seven stages in the order of the loop."""

    OBSERVE = "observe"
    DIAGNOSE = "diagnose"
    PROPOSE = "propose"
    VOTE = "vote"
    EXPERIMENT = "experiment"
    LEARN = "learn"
    PROMOTE = "promote"


class StageState(StrEnum):
    """How far a stage is; the facts of the lap move it on."""

    WAITING = "waiting"
    """Nothing of it has happened yet."""
    RUNNING = "running"
    """Begun and not ended."""
    DONE = "done"
    """Ended as the loop needs it; the next stage can begin."""
    FAILED = "failed"
    """Ended, and the lap does not go on from here."""


@dataclass(frozen=True, slots=True)
class LapFacts:
    """Everything recorded of one lap, in the shapes of the API; the newest proposal and experiment count."""

    closed_at: str | None
    episode: JsonObject | None
    meta_task: JsonObject | None
    proposal: JsonObject | None
    experiment: JsonObject | None
    entries: Sequence[JsonObject]

    def entry(self, kind: EntryType) -> JsonObject | None:
        """Return the last ledger entry of this type in the lap, or None."""
        return next((entry for entry in reversed(self.entries) if entry["type"] == kind), None)

    def verdict(self, leg: Leg) -> JsonObject | None:
        """Return the last ledger entry with the verdict of a leg (one that names none is the trial's)."""
        of_leg = (
            entry
            for entry in reversed(self.entries)
            if entry["type"] == EntryType.VERDICT and entry["payload"].get("leg", Leg.TRIAL) == leg
        )
        return next(of_leg, None)


def derive_stages(facts: LapFacts) -> list[JsonObject]:
    """Return the seven stages in order: {name, state, at, detail, ref}."""
    return [
        _observe(facts),
        _diagnose(facts),
        _propose(facts),
        _vote(facts),
        _experiment(facts),
        _learn(facts),
        _promote(facts),
    ]


def current_stage(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the first stage that is not done, or of the last one."""
    unfinished = (stage["name"] for stage in stages if stage["state"] != StageState.DONE)
    return str(next(unfinished, StageName.PROMOTE.value))


def _stage(
    name: StageName, state: StageState, at: str | None, detail: str, ref: tuple[str, int] | None = None
) -> JsonObject:
    return {
        "name": name.value,
        "state": state.value,
        "at": at,
        "detail": detail,
        "ref": {"kind": ref[0], "id": ref[1]} if ref else None,
    }


def _unreached(name: StageName, facts: LapFacts, waits_for: str) -> JsonObject:
    """Return a stage nothing has happened of: waiting while the lap is open, failed once it has closed."""
    if facts.closed_at is not None:
        return _stage(
            name, StageState.FAILED, facts.closed_at, f"not reached: the lap closed without {waits_for}"
        )
    return _stage(name, StageState.WAITING, None, f"waits for {waits_for}")


def _observe(facts: LapFacts) -> JsonObject:
    seen = facts.episode
    if seen is None:
        return _unreached(StageName.OBSERVE, facts, "an anomaly")
    ref = ("episode", int(seen["episode_id"]))
    numbers = (
        f"{seen['metric']} of {seen['dimension']} {seen['key']}: {seen['numerator']} of {seen['denominator']}"
    )
    if seen["denominator"]:
        numbers += f" ({100 * seen['numerator'] / seen['denominator']:.0f} %)"
    detail = f"{numbers}, by rule {seen['rule']}"
    if seen["state"] == EpisodeState.CLOSED:
        detail += f"; back in its band at {seen['closed_at'][11:19]}"
    if seen["state"] == EpisodeState.GIVEN_UP:
        detail += f"; given up at {seen['closed_at'][11:19]}"
    state = StageState.DONE if facts.entry(EntryType.ANOMALY) else StageState.RUNNING
    return _stage(StageName.OBSERVE, state, seen["opened_at"], detail, ref)


def _diagnose(facts: LapFacts) -> JsonObject:
    posted = facts.meta_task
    if posted is None:
        return _unreached(StageName.DIAGNOSE, facts, "a meta-task")
    ref = ("task", int(posted["task_id"]))
    if posted["state"] in (TaskState.SUBMITTED, TaskState.SETTLED) or facts.proposal is not None:
        at = (facts.proposal or {}).get("opened_at") or posted["ended_at"] or posted["awarded_at"]
        return _stage(StageName.DIAGNOSE, StageState.DONE, at, _by_agent("investigated", posted), ref)
    if posted["state"] in TASK_ENDS:
        detail = f"the meta-task ended {posted['state']}: {posted['end_reason'] or 'no reason recorded'}"
        return _stage(StageName.DIAGNOSE, StageState.FAILED, posted["ended_at"], detail, ref)
    at = posted["awarded_at"] or posted["posted_at"]
    return _stage(StageName.DIAGNOSE, StageState.RUNNING, at, _by_agent(posted["state"], posted), ref)


def _by_agent(what: str, task: Mapping[str, Any]) -> str:
    agent_id = task["awarded_agent_id"]
    return f"{what} by agent {agent_id}" if agent_id is not None else f"{what}: nobody has the meta-task yet"


def _propose(facts: LapFacts) -> JsonObject:
    filed = facts.proposal
    if filed is None:
        ended = facts.meta_task is not None and facts.meta_task["state"] in TASK_ENDS
        if ended and facts.closed_at is None:
            detail = "the investigation ended without a proposal"
            return _stage(StageName.PROPOSE, StageState.FAILED, (facts.meta_task or {})["ended_at"], detail)
        return _unreached(StageName.PROPOSE, facts, "a proposal")
    ref = ("proposal", int(filed["proposal_id"]))
    detail = f"{filed['parameter']}: {filed['from']} to {filed['to']}, by agent {filed['proposer_id']}"
    state = StageState.DONE if facts.entry(EntryType.PROPOSAL) else StageState.RUNNING
    return _stage(StageName.PROPOSE, state, filed["opened_at"], detail, ref)


def _vote(facts: LapFacts) -> JsonObject:
    filed = facts.proposal
    if filed is None:
        return _unreached(StageName.VOTE, facts, "a vote")
    ref = ("proposal", int(filed["proposal_id"]))
    votes = (
        f"{filed['yes']} for, {filed['no']} against, {filed['abstain']} abstained, of {filed['electorate']}"
    )
    if filed["state"] == ProposalState.OPEN:
        return _stage(StageName.VOTE, StageState.RUNNING, filed["opened_at"], votes, ref)
    if filed["state"] in (ProposalState.REJECTED, ProposalState.INQUORATE, ProposalState.WITHDRAWN):
        detail = f"{filed['state']}: {votes}"
        return _stage(StageName.VOTE, StageState.FAILED, filed["decided_at"], detail, ref)
    return _stage(StageName.VOTE, StageState.DONE, filed["decided_at"], f"passed: {votes}", ref)


def _experiment(facts: LapFacts) -> JsonObject:
    run = facts.experiment
    if run is None:
        expired = facts.proposal is not None and facts.proposal["state"] == ProposalState.EXPIRED
        if expired:
            at = facts.closed_at or (facts.proposal or {})["decided_at"]
            detail = "the passed proposal expired before an experiment could start"
            return _stage(StageName.EXPERIMENT, StageState.FAILED, at, detail)
        return _unreached(StageName.EXPERIMENT, facts, "an experiment")
    ref = ("experiment", int(run["experiment_id"]))
    arms = ", ".join(
        f"{name} {_rate(run[name])} ({run[name]['successes']}/{run[name]['resolved']})"
        for name in ("control", "treatment")
    )
    if run["verdict"] is None:
        return _stage(StageName.EXPERIMENT, StageState.RUNNING, run["started_at"], arms, ref)
    ended_at = run["trial"]["ended_at"]
    return _stage(StageName.EXPERIMENT, StageState.DONE, ended_at, f"{run['verdict']}: {arms}", ref)


def _rate(arm: Mapping[str, Any]) -> str:
    return "none yet" if arm["rate"] is None else f"{100 * arm['rate']:.0f} %"


def _learn(facts: LapFacts) -> JsonObject:
    verdict = facts.verdict(Leg.TRIAL)
    run = facts.experiment
    if verdict is not None:
        said = f"{run['verdict']}: {run['reason']}" if run else "verdict recorded"
        detail = f"{said}; recorded with its evidence as ledger entry {verdict['index']}"
        return _stage(StageName.LEARN, StageState.DONE, verdict["at"], detail, ("entry", verdict["index"]))
    if run is not None and run["verdict"] is not None and facts.closed_at is None:
        ended_at = run["trial"]["ended_at"]
        return _stage(StageName.LEARN, StageState.RUNNING, ended_at, "the verdict is being recorded")
    return _unreached(StageName.LEARN, facts, "a verdict in the ledger")


def _promote(facts: LapFacts) -> JsonObject:
    promoted = facts.entry(EntryType.PROMOTED)
    filed = facts.proposal
    if promoted is not None:
        detail = f"{filed['parameter']} is now {filed['to']}" if filed else "promoted"
        detail = _since(facts, detail)
        ref = ("entry", promoted["index"])
        return _stage(StageName.PROMOTE, StageState.DONE, promoted["at"], detail, ref)
    refused = facts.entry(EntryType.REFUSED)
    if refused is not None:
        why = facts.experiment["verdict"] if facts.experiment else None
        detail = f"refused: {why or 'the change'} does not support production"
        if why == Verdict.WIN:
            detail = f"refused although it won: {refused['payload']['reason']}"
        ref = ("entry", refused["index"])
        return _stage(StageName.PROMOTE, StageState.FAILED, refused["at"], detail, ref)
    if facts.verdict(Leg.TRIAL) is not None and facts.closed_at is None:
        return _stage(
            StageName.PROMOTE, StageState.RUNNING, None, "the decision on the verdict is being recorded"
        )
    return _unreached(StageName.PROMOTE, facts, "a decision")


def _since(facts: LapFacts, detail: str) -> str:
    """Return what became of a promotion: rolled back, confirmed, or in probation; and the recovery."""
    undone, confirmed = facts.entry(EntryType.ROLLED_BACK), facts.entry(EntryType.CONFIRMED)
    recovered = facts.entry(EntryType.RECOVERED)
    if undone is not None:
        return f"promoted, and rolled back by entry {undone['index']}: {undone['payload']['reason']}"
    if confirmed is not None:
        detail += f"; confirmed by entry {confirmed['index']}"
    elif (said := probation_words(facts.experiment)) is not None:
        detail += f"; {said}"
    return detail if recovered is None else f"{detail}; recovery recorded as entry {recovered['index']}"


def probation_words(run: Mapping[str, Any] | None) -> str | None:
    """Return how a probation that runs stands, in words; None where none runs."""
    if run is None or run["state"] != ExperimentState.PROBATION or run["probation"] is None:
        return None
    leg = run["probation"]
    return (
        f"in probation: E = {leg['e_value']:.3g} of {leg['threshold']:.3g} after {leg['units']} tasks, "
        f"until {leg['closes_at'][:16].replace('T', ' ')}"
    )
