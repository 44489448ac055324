"""What the ledger may say of experiments: starts, verdicts, promotions, probations, placebos, the freeze.

Stands beside `ledger_causality`, which dispatches to these acts. Levels of the stream, plans of probations
and verdicts are recomputed, not believed. It never looks at hashes of entries, and it never repairs.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from services.domain.assignment import opens
from services.domain.bet import BetPlan, Verdict
from services.domain.ledger_history import (
    CausalityError,
    ExperimentFacts,
    LedgerHistory,
    Probation,
    PromotionFacts,
    require_cause,
)
from services.domain.ledger_records import LegEvidence, check_verdict
from services.domain.ledger_schema import Entry
from services.domain.placebo import FREEZE_EVIDENCE
from services.domain.sequential import Replay, start, start_probation
from services.domain.states import Leg, ProposalState
from services.domain.stream import StreamRule, next_level

OPERATOR: Final = "operator"


def experiment_started(history: LedgerHistory, entry: Entry) -> None:
    """A trial begins on a passed proposal, with the plan that was voted on and the stream's next level."""
    payload = entry.payload
    experiment_id, parameter = payload["experiment_id"], payload["parameter"]
    require_cause(experiment_id not in history.experiments, f"experiment {experiment_id} was already started")
    proposal = history.proposal_in(payload["proposal_id"], ProposalState.PASSED)
    require_cause(parameter == proposal.parameter, f"the proposal was about {proposal.parameter}")
    in_force = history.config[parameter]
    require_cause(payload["control"] == in_force, f"control is not the value in force, {in_force!a}")
    require_cause(payload["treatment"] == proposal.treatment, "treatment is not the value that was voted on")
    require_cause(parameter not in history.running, f"an experiment on {parameter} is already running")
    plan = _plan_of(payload)
    if history.format > 1:
        _check_plan(history, plan, proposal.terms)
        _check_level(history, plan, payload)
    history.started += 1
    history.experiments[experiment_id] = ExperimentFacts(
        payload["proposal_id"],
        parameter,
        in_force,
        proposal.treatment,
        payload["salt_commitment"],
        plan,
        float(payload["confirm_alpha"]) if "confirm_alpha" in payload else None,
    )
    history.running[parameter] = experiment_id
    proposal.state = ProposalState.TESTING


def _plan_of(payload: Mapping[str, Any]) -> BetPlan:
    try:
        return BetPlan.from_payload(payload["plan"])
    except (TypeError, ValueError) as error:
        raise CausalityError(f"the plan cannot be bet on: {error}") from error


def _check_plan(history: LedgerHistory, plan: BetPlan, terms: Mapping[str, Any]) -> None:
    """The plan's effect, cap, metric and guardrails are the proposal's, its alpha the config's."""
    asked = [(item["metric"], float(item["margin"])) for item in terms["guardrails"]]
    planned = [(str(guardrail.metric), guardrail.margin) for guardrail in plan.guardrails]
    agree = {
        "effect": math.isclose(plan.effect, float(Decimal(terms["expected_effect"]))),
        "cap_tasks": plan.cap_tasks == terms["cap_tasks"],
        "metric": plan.metric == terms["metric"],
        "guardrails": planned == asked,
    }
    for name, holds in agree.items():
        require_cause(holds, f"the plan's {name} is not what was voted on")
    allowed = float(history.config["sandbox.alpha"])
    require_cause(plan.alpha <= allowed, f"the plan's alpha {plan.alpha} is over the config's {allowed}")


def _check_level(history: LedgerHistory, plan: BetPlan, payload: Mapping[str, Any]) -> None:
    """The level is the one that the stream's rule gives from what was confirmed before."""
    position = history.started + 1
    require_cause(
        payload["stream_position"] == position, f"this is experiment {position} of the stream, not another"
    )
    rule = StreamRule.E_LOND if float(history.config["sandbox.dependence"]) else StreamRule.LORD
    require_cause(payload["stream_rule"] == rule, f"the stream's levels are drawn by {rule}")
    level = min(plan.alpha, next_level(rule, plan.alpha, position, history.known))
    stated = float(payload["confirm_alpha"])
    require_cause(
        math.isclose(stated, level, rel_tol=1e-9), f"confirm_alpha is {stated!r}, the stream gives {level!r}"
    )


def verdict(history: LedgerHistory, entry: Entry) -> None:
    """A leg ends as its records say."""
    payload = entry.payload
    experiment = history.experiment_of(payload)
    number = payload["experiment_id"]
    if payload.get("leg", Leg.TRIAL) == Leg.PROBATION:
        probation = experiment.probation
        if probation is None or probation.verdict is not None:
            raise CausalityError(f"experiment {number} is in no probation that could end")
        evidence = LegEvidence(
            number,
            Leg.PROBATION,
            probation.plan,
            probation.state,
            probation.salt_commitment,
            experiment.plan.alpha,
        )
        _replayed(history, payload, evidence)
        probation.verdict = Verdict(payload["verdict"])
        return
    require_cause(experiment.verdict is None, f"experiment {number} already has its verdict")
    experiment.ended = _replayed(history, payload, _trial(number, experiment)).state
    experiment.verdict = Verdict(payload["verdict"])
    if history.format == 1 or experiment.verdict is not Verdict.WIN:
        del history.running[experiment.parameter]


def _trial(number: int, experiment: ExperimentFacts) -> LegEvidence:
    plan = experiment.plan
    return LegEvidence(number, Leg.TRIAL, plan, start(plan), experiment.salt_commitment, plan.alpha)


def _replayed(history: LedgerHistory, payload: Mapping[str, Any], evidence: LegEvidence) -> Replay:
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
    require_cause(payload["from"] == experiment.control, "from is not the control that was tested")
    require_cause(payload["to"] == experiment.treatment, "to is not the treatment that was tested")
    require_cause(payload["read_back"] == payload["to"], "the value read back is not the value promoted")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    experiment.promoted_index = entry.index
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
    stated = _plan_of(payload)
    plan, state = start_probation(
        experiment.plan,
        experiment.ended,
        alpha=experiment.confirm_alpha,
        share=stated.treatment_share,
        cap_tasks=stated.cap_tasks,
    )
    for name in stated.__dataclass_fields__:
        given, computed = getattr(stated, name), getattr(plan, name)
        is_close = isinstance(given, float) and isinstance(computed, float) and math.isclose(given, computed)
        require_cause(
            given == computed or is_close,
            f"the probation's {name} is {given!r}, the trial gives {computed!r}",
        )
    experiment.probation = Probation(plan, state, payload["salt_commitment"])


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
    history.running.pop(experiment.parameter, None)


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
    experiment = _promoted_by(history, payload["promoted_index"])
    if history.format > 1 and entry.actor.startswith("system:"):
        probation = experiment.probation
        is_lost = probation is not None and probation.verdict not in (None, Verdict.WIN)
        require_cause(is_lost, "the platform rolls back only what lost its probation")
    history.change_config(payload, payload["parameter"], payload["from"], payload["to"])
    promotion.is_rolled_back = True
    if history.running.get(experiment.parameter) is not None and experiment.promoted_index is not None:
        history.running.pop(experiment.parameter)


def _promoted_by(history: LedgerHistory, index: int) -> ExperimentFacts:
    return next(item for item in history.experiments.values() if item.promoted_index == index)


def refused(history: LedgerHistory, entry: Entry) -> None:
    """A change is turned down, before its experiment or after it."""
    payload = entry.payload
    proposal = history.proposals.get(payload["proposal_id"])
    if payload["experiment_id"] is not None:
        experiment = history.experiment_of(payload)
        require_cause(experiment.promoted_index is None, "the experiment's change was already promoted")
        experiment.is_refused = True
        history.running.pop(experiment.parameter, None)
    elif proposal is not None:
        require_cause(proposal.state is not ProposalState.TESTING, "the proposal's experiment must be named")
    if proposal is not None and proposal.state in (ProposalState.OPEN, ProposalState.PASSED):
        proposal.state = ProposalState.REFUSED


def placebo_started(history: LedgerHistory, entry: Entry) -> None:
    """An A/A experiment begins, outside the stream."""
    payload = entry.payload
    number = payload["experiment_id"]
    known = number in history.experiments or number in history.placebos
    require_cause(not known, f"experiment {number} was already started")
    plan = _plan_of(payload)
    history.placebos[number] = ExperimentFacts(0, "", "", "", payload["salt_commitment"], plan)


def placebo_verdict(history: LedgerHistory, entry: Entry) -> None:
    """An A/A experiment ends as its records say."""
    payload = entry.payload
    placebo = history.placebos.get(payload["experiment_id"])
    if placebo is None or placebo.verdict is not None:
        raise CausalityError(f"experiment {payload['experiment_id']} is no placebo that could end")
    _replayed(history, payload, _trial(payload["experiment_id"], placebo))
    placebo.verdict = Verdict(payload["verdict"])


def frozen(history: LedgerHistory, entry: Entry) -> None:
    """Promotion stops, on the evidence of placebos."""
    require_cause(not history.is_frozen, "promotion is already frozen")
    require_cause(
        float(entry.payload["e"]) >= FREEZE_EVIDENCE, f"a freeze needs E of at least {FREEZE_EVIDENCE:g}"
    )
    history.is_frozen = True


def unfrozen(history: LedgerHistory, entry: Entry) -> None:
    """A person lets promotions go on."""
    require_cause(history.is_frozen, "promotion is not frozen")
    require_cause(not entry.actor.startswith("system:"), "only a person lifts a freeze")
    history.is_frozen = False


def epoch(history: LedgerHistory, entry: Entry) -> None:
    """A holdout begins from the config in force; the salt of the one before is revealed."""
    payload = entry.payload
    require_cause(
        payload["config"] == history.config_sha256,
        "the epoch's config is not the one that the entries before add up to",
    )
    if payload["previous_salt"]:
        try:
            is_opened = opens(history.epoch_commitment, payload["previous_salt"])
        except ValueError as error:
            raise CausalityError(f"previous_salt is not one: {error}") from error
        require_cause(is_opened, "previous_salt does not open the epoch before's commitment")
    history.epoch_commitment = payload["salt_commitment"]
