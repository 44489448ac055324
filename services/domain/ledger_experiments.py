"""What the ledger may say of experiments: starts, verdicts, promotions, probations and their ends.

Stands beside `ledger_causality`, which dispatches to these acts. Levels of the stream, plans of probations
and verdicts are recomputed, not believed. It never looks at hashes of entries, and it never repairs.
"""

from collections.abc import Mapping
from typing import Any

from services.domain.bet import Verdict
from services.domain.clock import DAY_US, seconds
from services.domain.ledger_history import (
    CausalityError,
    ExperimentFacts,
    LedgerHistory,
    Probation,
    PromotionFacts,
    require_cause,
)
from services.domain.ledger_plans import check_level, check_plan, plan_of, probation_of
from services.domain.ledger_records import LegEvidence, check_verdict, units_of
from services.domain.ledger_schema import UNITS, Entry
from services.domain.parameters import Risk
from services.domain.sequential import Replay, start
from services.domain.states import Leg, ProposalState


def experiment_started(history: LedgerHistory, entry: Entry) -> None:
    """A trial begins on a passed proposal, with the plan that was voted on and the stream's next level."""
    payload = entry.payload
    experiment_id, parameter = payload["experiment_id"], payload["parameter"]
    history.new_experiment(experiment_id)
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.PASSED)
    require_cause(parameter == proposal.parameter, f"the proposal was about {proposal.parameter}")
    if proposal.format >= UNITS:
        grace_us = seconds(history.consensus("start_grace_seconds"))
        require_cause(entry.at_us < proposal.decided_at_us + grace_us, "the time to start it was over")
        is_fixed = history.declarations[parameter]["risk"] == Risk.FIXED
        require_cause(not is_fixed, f"{parameter} is fixed as declared")
    in_force = history.config[parameter]
    require_cause(payload["control"] == in_force, f"control is not the value in force, {in_force!a}")
    require_cause(payload["treatment"] == proposal.treatment, "treatment is not the value that was voted on")
    require_cause(parameter not in history.running, f"an experiment on {parameter} is already running")
    history.new_commitment(payload["salt_commitment"])
    plan = plan_of(payload)
    if history.format > 1:
        check_plan(history, plan, payload, proposal.terms)
        check_level(history, plan, payload)
    history.started += 1
    history.experiments[experiment_id] = ExperimentFacts(
        payload["proposal_id"],
        parameter,
        in_force,
        proposal.treatment,
        payload["salt_commitment"],
        plan,
        entry.at_us,
        float(payload["confirm_alpha"]) if "confirm_alpha" in payload else None,
        proposal.terms["cap_days"] * DAY_US if "cap_days" in proposal.terms else None,
    )
    history.running[parameter] = experiment_id
    proposal.state = ProposalState.TESTING


def verdict(history: LedgerHistory, entry: Entry) -> None:
    """A leg ends as its records say."""
    payload = entry.payload
    experiment = history.experiment_of(payload)
    number = payload["experiment_id"]
    if payload.get("leg", Leg.TRIAL) == Leg.PROBATION:
        probation = experiment.probation
        if probation is None or probation.verdict is not None:
            raise CausalityError(f"experiment {number} is in no probation that could end")
        replayed(history, payload, _probation_evidence(history, number, experiment, probation, entry))
        probation.verdict = Verdict(payload["verdict"])
        return
    require_cause(experiment.verdict is None, f"experiment {number} already has its verdict")
    experiment.ended = replayed(history, payload, trial_evidence(number, experiment, entry)).state
    experiment.verdict = Verdict(payload["verdict"])
    experiment.records_sha256 = payload["records_sha256"]
    if history.format == 1 or experiment.verdict is not Verdict.WIN:
        history.release(experiment.parameter, number)


def trial_evidence(number: int, experiment: ExperimentFacts, entry: Entry) -> LegEvidence:
    """Return what the verdict of a trial (or placebo) that ends with `entry` is held to."""
    plan = experiment.plan
    return LegEvidence(
        number,
        Leg.TRIAL,
        plan,
        start(plan),
        experiment.salt_commitment,
        plan.alpha,
        elapsed_us=entry.at_us - experiment.started_at_us,
        deadline_us=experiment.deadline_us,
    )


def _probation_evidence(
    history: LedgerHistory, number: int, experiment: ExperimentFacts, probation: Probation, entry: Entry
) -> LegEvidence:
    return LegEvidence(
        number,
        Leg.PROBATION,
        probation.plan,
        probation.state,
        probation.salt_commitment,
        experiment.plan.alpha,
        elapsed_us=entry.at_us - probation.started_at_us,
        counted=units_of(history.blobs[experiment.records_sha256]),
        deadline_us=seconds(history.setting("probation_seconds")) if history.format > 1 else None,
    )


def replayed(history: LedgerHistory, payload: Mapping[str, Any], evidence: LegEvidence) -> Replay:
    """Return the bet of a verdict, replayed from its records; CausalityError where they are missing."""
    blob = history.blobs.get(payload["records_sha256"])
    if blob is None:
        raise CausalityError(f"the records blob ({payload['records_sha256'][:12]}…) is missing")
    return check_verdict(evidence, payload, blob)


def promoted(history: LedgerHistory, entry: Entry) -> None:
    """A won trial's value goes into the config."""
    payload = entry.payload
    experiment = history.experiment_of(payload)
    require_cause(
        experiment.verdict is Verdict.WIN,
        f"experiment {payload['experiment_id']} has {experiment.verdict or 'no verdict'}, not a win",
    )
    require_cause(experiment.promoted_index is None, "the experiment was already promoted")
    require_cause(not experiment.is_refused, "the experiment's change was already refused")
    require_cause(not history.is_frozen, "promotion is frozen")
    require_cause(not history.is_alarmed, "the placebos ask for a freeze, and there is none")
    require_cause(payload["from"] == experiment.control, "from is not the control that was tested")
    require_cause(payload["to"] == experiment.treatment, "to is not the treatment that was tested")
    require_cause(payload["read_back"] == payload["to"], "the value read back is not the value promoted")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    experiment.promoted_index = entry.index
    history.proposals[experiment.proposal_id].state = ProposalState.PROMOTED
    history.promotions[entry.index] = PromotionFacts(payload["parameter"], payload["from"], payload["to"])


def probation_started(history: LedgerHistory, entry: Entry) -> None:
    """A promoted value goes on probation, with the plan that follows from the trial's end."""
    payload = entry.payload
    experiment = history.experiment_of(payload)
    index = experiment.promoted_index
    require_cause(
        index is not None and not history.promotions[index].is_rolled_back and experiment.probation is None,
        "only a promotion that stands goes on probation, once",
    )
    if experiment.ended is None or experiment.confirm_alpha is None:
        raise CausalityError("the experiment has no level to be confirmed at")
    history.new_commitment(payload["salt_commitment"])
    plan, state = probation_of(
        history, experiment.plan, experiment.ended, experiment.confirm_alpha, plan_of(payload)
    )
    experiment.probation = Probation(plan, state, payload["salt_commitment"], entry.at_us)


def confirmed(history: LedgerHistory, entry: Entry) -> None:
    """A promotion held in probation; later levels of the stream know of it."""
    experiment = history.experiment_of(entry.payload)
    index = experiment.promoted_index
    require_cause(
        index is not None and not history.promotions[index].is_rolled_back,
        "only a promotion that stands can be confirmed",
    )
    require_cause(not experiment.is_confirmed, "the promotion was already confirmed")
    if history.format > 1:
        probation = experiment.probation
        require_cause(probation is not None and probation.verdict is Verdict.WIN, "its probation was not won")
    experiment.is_confirmed = True
    history.known.append(history.started)
    history.release(experiment.parameter, entry.payload["experiment_id"])


def rolled_back(history: LedgerHistory, entry: Entry) -> None:
    """The value before a promotion is restored: by a person, or because probation was not won."""
    payload = entry.payload
    promotion = history.promotions.get(payload["promoted_index"])
    if promotion is None:
        raise CausalityError(f"entry {payload['promoted_index']} is not a promotion")
    require_cause(payload["parameter"] == promotion.parameter, f"the promotion was of {promotion.parameter}")
    require_cause(not promotion.is_rolled_back, "the promotion was already rolled back")
    require_cause(payload["from"] == promotion.after, "from is not the value that was promoted")
    require_cause(
        payload["to"] == promotion.before,
        f"the value before the promotion was {promotion.before!a}, not {payload['to']!a}",
    )
    require_cause(payload["read_back"] == payload["to"], "the value read back is not the value restored")
    number, experiment = _promoted_by(history, payload["promoted_index"])
    if history.format > 1:
        probation = experiment.probation
        is_lost = probation is not None and probation.verdict not in (None, Verdict.WIN)
        require_cause(entry.is_by_person or is_lost, "the platform rolls back only what lost its probation")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    promotion.is_rolled_back = True
    history.release(experiment.parameter, number)


def _promoted_by(history: LedgerHistory, index: int) -> tuple[int, ExperimentFacts]:
    return next(item for item in history.experiments.items() if item[1].promoted_index == index)


def refused(history: LedgerHistory, entry: Entry) -> None:
    """A change is turned down, before its experiment or after it."""
    payload = entry.payload
    proposal = history.proposals.get(payload["proposal_id"])
    if payload["experiment_id"] is not None:
        experiment = history.experiment_of(payload)
        number = payload["experiment_id"]
        require_cause(experiment.verdict is not None, f"experiment {number} has no verdict yet")
        require_cause(experiment.promoted_index is None, "the experiment's change was already promoted")
        require_cause(not experiment.is_refused, "the experiment's change was already refused")
        experiment.is_refused = True
        history.proposals[experiment.proposal_id].state = ProposalState.REFUSED
        history.release(experiment.parameter, number)
    elif proposal is not None:
        require_cause(proposal.state is not ProposalState.TESTING, "the proposal's experiment must be named")
        allowed = [ProposalState.PASSED, *([ProposalState.OPEN] if proposal.format < UNITS else [])]
        words = " or ".join(sorted(allowed))
        number = payload["proposal_id"]
        require_cause(proposal.state in allowed, f"proposal {number} is {proposal.state}, not {words}")
        is_same = proposal.format < UNITS or payload["parameter"] == proposal.parameter
        require_cause(is_same, f"proposal {number} was about {proposal.parameter}")
        proposal.state = ProposalState.REFUSED
