"""Recompute one recorded award from the bids and outcomes, and name everything that comes out otherwise.

Stands beside the market (L4), under `nacre market replay` and the API. It takes nothing from the award's
inputs that the other records can tell: asks come from the bids, records from folding every bidder's outcomes
up to the mark, exclusions from attempts, standings and balances, settings from their recorded changes. It
never mends, and never judges whether a rule is a good one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from services.domain.auction import (
    ENTRANT_START,
    ENTRY_WINDOW,
    THETA_STEP,
    AwardDecision,
    AwardRule,
    AwardTerms,
    Draw,
    SealedBid,
    decide_award,
    learn_entrant,
)
from services.domain.reputation import AgentState, Outcome, Record, StandingRules, refold
from services.domain.states import OutcomeKind, Standing

EARLIER_RULE: Final = "recorded under an earlier rule; cannot be replayed"
SUSPENDED, TRIED, STAKE_SHORT = "suspended", "tried", "stake_short"
CRASH_LIMIT: Final = 12
"""The default of `market.crash_limit`, where its history is not given."""
CLOSE_ENOUGH: Final = 1e-9
"""Relative difference up to which two folds of the same outcomes are the same on any platform."""

Recorded: TypeAlias = str | int | float | bool | None


class Difference(NamedTuple):
    """One thing that is recorded otherwise than it comes out: what, as recorded, as recomputed."""

    what: str
    recorded: Recorded
    recomputed: Recorded

    def __str__(self) -> str:
        """Return the difference as one line."""
        return f"{self.what}: recorded {_said(self.recorded)}, recomputed {_said(self.recomputed)}"


@dataclass(frozen=True, slots=True)
class RecordedAward:
    """The award row with what its task and its stake's escrow say.

    `value_microcredits` is the task's reserve price, `escrow_microcredits` what was held as its stake,
    `rule_fixed` the award rule among the values that were fixed for the task; both None where there is none.
    """

    task_id: int
    task_type: str
    attempt_number: int
    agent_id: int
    rule: str
    seed: str
    price_microcredits: int
    stake_microcredits: int
    is_unproven: bool
    awarded_at_us: int
    value_microcredits: int
    escrow_microcredits: int | None
    rule_fixed: int | None
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlacedBid:
    """One bid of the task as it stands in the records."""

    bid_id: int
    agent_id: int
    ask_microcredits: int
    placed_at_us: int


@dataclass(frozen=True, slots=True)
class ReplaySources:
    """Everything that an award is recomputed from.

    bids: all of the task. outcomes: by agent, in order, up to the award's mark. vouched: agents that began on
    probation. tried: agents with an earlier attempt at the task. newest_unproven: whether each of the
    `ENTRY_WINDOW` awards before this one went to an unproven agent, None where that is not to be checked.
    entrant_outcomes: whether each outcome of an unproven agent up to the mark was verified, in order, None
    where that is not to be checked. balances: micro-credits of agents just before the award's stake was held,
    of those that are known. settings: by parameter, the values that were in force around the award, the
    likeliest first; a parameter without any is not checked.
    """

    award: RecordedAward
    bids: Sequence[PlacedBid]
    outcomes: Mapping[int, Sequence[Outcome]]
    vouched: frozenset[int]
    tried: frozenset[int]
    settings: Mapping[str, Sequence[str]]
    newest_unproven: Sequence[bool] | None = None
    entrant_outcomes: Sequence[bool] | None = None
    balances: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class AwardReplay:
    """What came of it. `problem` says why there is nothing to compare; else `decision` is the award anew."""

    differences: tuple[Difference, ...] = ()
    decision: AwardDecision | None = None
    problem: str = ""

    @property
    def is_confirmed(self) -> bool:
        """Tell whether the award was recomputed and everything came out as recorded."""
        return not self.problem and not self.differences


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The recorded inputs, read and checked for their kinds."""

    rule: AwardRule
    value_microcredits: int
    cooling: float
    quantile: float
    entrant_rate: float
    entry_jobs: int
    is_entry_full: bool
    counterparty_jobs: float
    bids: Mapping[int, tuple[SealedBid, Draw]]
    excluded: Mapping[int, str]


def outcome_mark(inputs: Mapping[str, Any]) -> int | None:
    """Return the id of the last outcome that the award had seen, None for an award of an earlier rule."""
    mark = inputs.get("outcome_mark")
    return mark if isinstance(mark, int) and "rule" in inputs else None


def replay_award(sources: ReplaySources) -> AwardReplay:
    """Recompute an award; never raises for what is recorded, however damaged: `problem` says so."""
    if outcome_mark(sources.award.inputs) is None:
        return AwardReplay(problem=EARLIER_RULE)
    try:
        inputs = _read_inputs(sources.award.inputs)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        return AwardReplay(problem=f"the recorded inputs cannot be read: {type(error).__name__} {error}")
    limit = sources.settings.get("market.crash_limit", (str(CRASH_LIMIT),))[0]
    limits = StandingRules(int(limit), inputs.counterparty_jobs, inputs.entry_jobs)
    states = {
        agent_id: refold(outcomes, limits, is_vouched=agent_id in sources.vouched)
        for agent_id, outcomes in sources.outcomes.items()
    }
    bids, differences = _judged_bids(sources, inputs, states)
    differences += _differences_of_terms(sources, inputs)
    differences += _differences_of_records(inputs, bids)
    terms = _terms(sources, inputs)
    decision = decide_award(bids, terms)
    differences += _differences_of_outcome(sources.award, inputs, terms, decision)
    return AwardReplay(tuple(differences), decision)


# --- reading


def _read_inputs(inputs: Mapping[str, Any]) -> _Inputs:
    """Return the recorded inputs; raises KeyError, TypeError or ValueError for what is none."""
    bids = {}
    for item in inputs["bids"]:
        sealed = SealedBid(
            int(item["agent_id"]),
            int(item["bid_id"]),
            int(item["ask_microcredits"]),
            float(item["type_successes"]),
            float(item["type_failures"]),
            float(item["all_successes"]),
            float(item["all_failures"]),
            int(item["jobs"]),
        )
        bids[sealed.agent_id] = sealed, Draw(sealed.agent_id, float(item["theta"]), float(item["score"]))
    cooling, quantile, rate = (float(inputs[name]) for name in ("cooling", "quantile", "entrant_rate"))
    if not (0 < cooling < math.inf and 0 < quantile < 1 and 0 < rate < 1):
        msg = f"cooling {cooling}, quantile {quantile} or entrant rate {rate} is out of range"
        raise ValueError(msg)
    return _Inputs(
        AwardRule(int(inputs["rule"])),
        int(inputs["value_microcredits"]),
        cooling,
        quantile,
        rate,
        int(inputs["entry_jobs"]),
        bool(inputs["is_entry_full"]),
        float(inputs["counterparty_jobs"]),
        bids,
        {int(item["agent_id"]): str(item["reason"]) for item in inputs["excluded"]},
    )


def _terms(sources: ReplaySources, inputs: _Inputs) -> AwardTerms:
    """Return the terms anew: value from the task, learned rate and entry from the records where given."""
    rate = _entrant_rate(sources)
    return AwardTerms(
        inputs.rule,
        sources.award.value_microcredits,
        sources.award.stake_microcredits,
        sources.award.seed,
        inputs.cooling,
        inputs.quantile,
        inputs.entrant_rate if rate is None else rate,
        inputs.entry_jobs,
        _is_entry_full(sources, inputs),
    )


def _entrant_rate(sources: ReplaySources) -> float | None:
    if sources.entrant_outcomes is None:
        return None
    successes, failures = ENTRANT_START
    for is_verified in sources.entrant_outcomes:
        successes, failures = learn_entrant(successes, failures, is_verified=is_verified)
    return successes / (successes + failures)


def _is_entry_full(sources: ReplaySources, inputs: _Inputs) -> bool:
    """Return the recorded word on entry where it can be right, else what the awards before say."""
    percents = sources.settings.get("market.entry_percent", ())
    if sources.newest_unproven is None or not percents:
        return inputs.is_entry_full
    count = sum(sources.newest_unproven[:ENTRY_WINDOW])
    possible = [count >= float(percent) for percent in percents]
    return inputs.is_entry_full if inputs.is_entry_full in possible else possible[0]


# --- comparing


def _judged_bids(
    sources: ReplaySources, inputs: _Inputs, states: Mapping[int, AgentState]
) -> tuple[list[SealedBid], list[Difference]]:
    """Return the bids that the rule had to judge, from the records, and what is recorded otherwise.

    A bid counts when it was placed before the award: windows close before they are awarded.
    """
    bids: list[SealedBid] = []
    differences: list[Difference] = []
    placed = {bid.agent_id: bid for bid in sources.bids if bid.placed_at_us < sources.award.awarded_at_us}
    for agent_id, bid in sorted(placed.items()):
        state = states.get(agent_id, AgentState())
        reason = _exclusion(sources, inputs, state, agent_id)
        noted = inputs.excluded.get(agent_id, "judged" if agent_id in inputs.bids else "missing")
        expected = reason or "judged"
        if expected == "judged" and bid.ask_microcredits > sources.award.value_microcredits:
            expected = noted  # above the reserve: the rule passes it over, in the inputs or not
        if noted != expected:
            what = f"missing bid of agent {agent_id}" if noted == "missing" else f"bid of agent {agent_id}"
            differences.append(Difference(what, noted, expected))
        if reason is None:
            bids.append(_sealed(bid, state, sources.award.task_type))
    differences += [
        Difference(f"bid of agent {agent_id}", "in the inputs", "never placed")
        for agent_id in sorted({*inputs.bids, *inputs.excluded} - {*placed})
    ]
    return bids, differences


def _exclusion(sources: ReplaySources, inputs: _Inputs, state: AgentState, agent_id: int) -> str | None:
    """Return why a bid may not win: suspended, then tried, then its stake; None when it may."""
    if state.standing is Standing.SUSPENDED:
        return SUSPENDED
    if agent_id in sources.tried:
        return TRIED
    noted = inputs.excluded.get(agent_id)
    balance = (sources.balances or {}).get(agent_id)
    if balance is None:
        return STAKE_SHORT if noted == STAKE_SHORT else None
    return STAKE_SHORT if balance < sources.award.stake_microcredits else None


def _sealed(bid: PlacedBid, state: AgentState, task_type: str) -> SealedBid:
    record = state.records.get(task_type, Record())
    return SealedBid(
        bid.agent_id,
        bid.bid_id,
        bid.ask_microcredits,
        record.success_weight,
        record.failure_weight,
        state.success_weight,
        state.failure_weight,
        state.settled_jobs,
    )


def _differences_of_terms(sources: ReplaySources, inputs: _Inputs) -> list[Difference]:
    award, terms = sources.award, _terms(sources, inputs)
    pairs: list[tuple[str, Recorded, Recorded]] = [
        ("rule", award.rule, inputs.rule.label),
        ("reserve price", inputs.value_microcredits, award.value_microcredits),
        ("entrant rate", inputs.entrant_rate, terms.entrant_rate),
        ("entry full", inputs.is_entry_full, terms.is_entry_full),
    ]
    if award.escrow_microcredits is not None:
        pairs.append(("stake in escrow", award.stake_microcredits, award.escrow_microcredits))
    if award.rule_fixed is not None:
        pairs.append(("rule in force for the task", int(inputs.rule), award.rule_fixed))
    stakes = [
        award.value_microcredits * int(percent) // 100
        for percent in sources.settings.get("market.stake_percent", ())
    ]
    if stakes and award.stake_microcredits not in stakes:
        pairs.append(("stake", award.stake_microcredits, stakes[0]))
    for name, recorded in (
        ("market.cooling", inputs.cooling),
        ("market.guard_quantile", inputs.quantile),
        ("market.entry_jobs", float(inputs.entry_jobs)),
        ("market.counterparty_jobs", inputs.counterparty_jobs),
    ):
        in_force = [float(value) for value in sources.settings.get(name, ())]
        if in_force and recorded not in in_force:
            pairs.append((name, recorded, in_force[0]))
    return [Difference(*pair) for pair in pairs if not _is_same(pair[1], pair[2])]


def _differences_of_records(inputs: _Inputs, bids: Sequence[SealedBid]) -> list[Difference]:
    """Return where the asks and records that the rule saw are not those of bids and outcomes."""
    differences = []
    for bid in bids:
        if bid.agent_id not in inputs.bids:
            continue
        seen, _ = inputs.bids[bid.agent_id]
        agent = f"agent {bid.agent_id}"
        pairs: list[tuple[str, Recorded, Recorded]] = [
            (f"bid id of {agent}", seen.bid_id, bid.bid_id),
            (f"ask of {agent}", seen.ask_microcredits, bid.ask_microcredits),
            (f"record of {agent}: successes at this type", seen.type_successes, bid.type_successes),
            (f"record of {agent}: failures at this type", seen.type_failures, bid.type_failures),
            (f"record of {agent}: successes in all", seen.all_successes, bid.all_successes),
            (f"record of {agent}: failures in all", seen.all_failures, bid.all_failures),
            (f"record of {agent}: jobs", seen.jobs, bid.jobs),
        ]
        differences += [Difference(*pair) for pair in pairs if not _is_same(pair[1], pair[2])]
    return differences


def _differences_of_outcome(
    award: RecordedAward, inputs: _Inputs, terms: AwardTerms, decision: AwardDecision | None
) -> list[Difference]:
    """Return where winner, price, newness and draws are not what the rule gives."""
    if decision is None:
        return [Difference("winner", f"agent {award.agent_id}", "nobody")]
    differences = [
        Difference(*pair)
        for pair in (
            ("winner", f"agent {award.agent_id}", f"agent {decision.agent_id}"),
            ("price", award.price_microcredits, decision.price_microcredits),
            ("winner is unproven", award.is_unproven, decision.is_unproven),
        )
        if pair[1] != pair[2]
    ]
    slack = 2 * THETA_STEP * (terms.value_microcredits + terms.stake_microcredits)
    for draw in decision.draws:
        if draw.agent_id not in inputs.bids:
            continue
        _, noted = inputs.bids[draw.agent_id]
        if abs(noted.theta - draw.theta) > 1.5 * THETA_STEP:
            differences.append(Difference(f"draw of agent {draw.agent_id}", noted.theta, draw.theta))
        elif not math.isclose(noted.score, draw.score, rel_tol=CLOSE_ENOUGH, abs_tol=slack):
            differences.append(Difference(f"score of agent {draw.agent_id}", noted.score, draw.score))
    return differences


def _is_same(recorded: Recorded, recomputed: Recorded) -> bool:
    if isinstance(recorded, float) and isinstance(recomputed, float):
        return math.isclose(recorded, recomputed, rel_tol=CLOSE_ENOUGH, abs_tol=CLOSE_ENOUGH)
    return recorded == recomputed


def _said(value: Recorded) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Return a recorded outcome from its row (kind, task_type, requester_id, confidence_percent)."""
    return Outcome(OutcomeKind(row["kind"]), row["task_type"], row["requester_id"], row["confidence_percent"])
