"""Standing as a fold of recorded outcomes: the same steps live, recomputed, and in the invariants.

Stands in the market (L4) over `track_record`. Everything that is kept of an agent's record (its row's counts,
its record per type, what each counterparty stands for) is the fold of its outcomes in the order in which they
were recorded. Up the ladder by verified work; down by the demotion test, by a row of crashes, or by an
operator. It never reads a clock and never writes.

    shadow → probation (3 verified) → full (20 verified) → suspended → reinstated on probation
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from services.domain.states import OutcomeKind, Standing
from services.domain.track_record import DECAY, SUSPENSION_LOG_E, Record, counted, log_e

__all__ = [
    "AgentCounts",
    "AgentState",
    "Evidence",
    "Outcome",
    "Record",
    "StandingRules",
    "Step",
    "counted",
    "first_counts",
    "fold",
    "fold_all",
    "fold_step",
    "log_e",
    "next_standing",
    "reason_of",
    "refold",
]

FULL_AFTER_VERIFIED: Final = 20
PROBATION_AFTER_VERIFIED: Final = 3
JOB_KINDS: Final = (OutcomeKind.VERIFIED, OutcomeKind.FAILED, OutcomeKind.CRASHED)
"""Outcomes of work; the other kinds are acts that move the standing alone."""


class StandingRules(NamedTuple):
    """The registered limits of the fold: `market.crash_limit`, `counterparty_jobs` and `entry_jobs`."""

    crash_limit: int
    counterparty_jobs: float
    entry_jobs: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One entry of an agent's record.

    `task_type` is set for work. `requester_id` names the counterparty whose evidence is capped, or is None
    where it is trusted. `confidence_percent` is what the agent claimed with its bid, if it claimed anything.
    """

    kind: OutcomeKind
    task_type: str | None = None
    requester_id: int | None = None
    confidence_percent: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one counterparty stands for in the record of a type: its weight after counted job `at_job`."""

    weight: float = 0.0
    at_job: int = 0


@dataclass(frozen=True, slots=True)
class AgentCounts:
    """The columns of an agent's row that are a fold of its outcomes (over all task types).

    `trial_*` count the work since the demotion test began or began again; `brier_sum` is the sum of
    (claimed − happened)² over `forecasts` outcomes.
    """

    standing: Standing = Standing.SHADOW
    settled_jobs: int = 0
    verified_jobs: int = 0
    success_weight: float = 0.0
    failure_weight: float = 0.0
    trial_successes: int = 0
    trial_failures: int = 0
    consecutive_crashes: int = 0
    forecasts: int = 0
    brier_sum: float = 0.0

    @property
    def brier_score(self) -> float | None:
        """Return the mean squared error of the claimed confidence: 0 is perfect; None without claims."""
        return self.brier_sum / self.forecasts if self.forecasts else None

    @property
    def log_e(self) -> float:
        """Return the log of the demotion e-process as it stands."""
        return log_e(self.trial_successes, self.trial_failures)


@dataclass(frozen=True, slots=True)
class AgentState(AgentCounts):
    """All that is folded of one agent: its row, its records by type, its evidence by (type, requester)."""

    records: Mapping[str, Record] = field(default_factory=dict)
    counterparties: Mapping[tuple[str, int], Evidence] = field(default_factory=dict)


class Step(NamedTuple):
    """The rows that one outcome changes; None where there is no such row."""

    counts: AgentCounts
    record: Record | None
    evidence: Evidence | None


def first_counts(*, is_vouched: bool) -> AgentCounts:
    """Return the counts of an agent that has just registered; a vouched one begins on probation."""
    return AgentCounts(Standing.PROBATION if is_vouched else Standing.SHADOW)


def fold_step(
    counts: AgentCounts,
    record: Record | None,
    evidence: Evidence | None,
    outcome: Outcome,
    rules: StandingRules,
) -> Step:
    """Fold one outcome into just the rows it concerns: the live path.

    `record` is the row of (agent, the outcome's type) and `evidence` that of (agent, type, requester), None
    where there is none yet. Raises ValueError for work without a task type.
    """
    if outcome.kind not in JOB_KINDS:
        return Step(_with_act(counts, outcome.kind), record, evidence)
    if outcome.task_type is None:
        msg = f"an outcome of kind {outcome.kind} needs the task type of its work"
        raise ValueError(msg)
    before = record or Record()
    increment = 1.0
    if outcome.requester_id is not None:
        known = evidence or Evidence(0.0, before.jobs)
        cap = rules.counterparty_jobs if counts.settled_jobs >= rules.entry_jobs else 0.0
        increment, weight = counted(known.weight, before.jobs - known.at_job, cap)
        evidence = Evidence(weight, before.jobs)
    is_verified = outcome.kind is OutcomeKind.VERIFIED
    is_trusted = outcome.requester_id is None
    after = before.with_outcome(is_verified=is_verified, increment=increment, is_counted=is_trusted)
    return Step(_with_work(counts, outcome, increment, rules), after, evidence)


def fold(state: AgentState, outcome: Outcome, rules: StandingRules) -> AgentState:
    """Return the state after one more outcome; the maps are copied, so give it only the rows at hand.

    For one outcome of a long record use `fold_step`, for many at once `refold` or `fold_all`.
    """
    return fold_all(state, (outcome,), rules)


def fold_all(state: AgentState, outcomes: Iterable[Outcome], rules: StandingRules) -> AgentState:
    """Return the state after all `outcomes`, in their order; linear in their number."""
    counts: AgentCounts = state
    records, counterparties = dict(state.records), dict(state.counterparties)
    for outcome in outcomes:
        kind = outcome.task_type or ""
        pair = (kind, outcome.requester_id or 0)
        counts, record, evidence = fold_step(
            counts, records.get(kind), counterparties.get(pair), outcome, rules
        )
        if outcome.kind in JOB_KINDS:
            if record is not None:
                records[kind] = record
            if evidence is not None and outcome.requester_id is not None:
                counterparties[pair] = evidence
    return _state_of(counts, records, counterparties)


def refold(outcomes: Iterable[Outcome], rules: StandingRules, *, is_vouched: bool) -> AgentState:
    """Return the state of an agent from its outcomes alone: standing = fold(outcomes)."""
    return fold_all(_state_of(first_counts(is_vouched=is_vouched), {}, {}), outcomes, rules)


def next_standing(counts: AgentCounts, *, is_verified: bool, crash_limit: int) -> Standing:
    """Return the standing after work whose counts are already in: down by evidence or breaker, else up.

    Only verified work leads up, so a reinstated agent with 20 verified jobs is full again by its next one.
    """
    current = counts.standing
    if (
        current is Standing.SUSPENDED
        or counts.consecutive_crashes >= crash_limit
        or counts.log_e >= SUSPENSION_LOG_E
    ):
        return Standing.SUSPENDED
    if is_verified and counts.verified_jobs >= FULL_AFTER_VERIFIED:
        return Standing.FULL
    if is_verified and counts.verified_jobs >= PROBATION_AFTER_VERIFIED and current is Standing.SHADOW:
        return Standing.PROBATION
    return current


def reason_of(before: AgentCounts, after: AgentCounts, outcome: Outcome) -> str:
    """Return in words why the standing moved from `before` to `after`, "" when it did not."""
    if after.standing is before.standing:
        return ""
    if outcome.kind is OutcomeKind.SUSPENDED:
        return "suspended by an operator"
    if outcome.kind is OutcomeKind.REINSTATED:
        return "reinstated on probation"
    work = f"{after.verified_jobs} verified of {after.settled_jobs} jobs"
    if after.standing is not Standing.SUSPENDED:
        return work
    if after.log_e >= SUSPENSION_LOG_E:
        return f"{work}; the evidence against succeeding 60 % of the time has passed 1 in 100"
    return f"{work}; {after.consecutive_crashes} crashes in a row"


def _with_act(counts: AgentCounts, kind: OutcomeKind) -> AgentCounts:
    """Return the counts after an operator's act or a reinstatement; the record itself stays."""
    is_back = kind is OutcomeKind.REINSTATED
    return AgentCounts(
        Standing.PROBATION if is_back else Standing.SUSPENDED,
        counts.settled_jobs,
        counts.verified_jobs,
        counts.success_weight,
        counts.failure_weight,
        0 if is_back else counts.trial_successes,
        0 if is_back else counts.trial_failures,
        0 if is_back else counts.consecutive_crashes,
        counts.forecasts,
        counts.brier_sum,
    )


def _with_work(counts: AgentCounts, outcome: Outcome, increment: float, rules: StandingRules) -> AgentCounts:
    """Return the counts after one more job, which weighs `increment` in the record over all types."""
    is_verified = outcome.kind is OutcomeKind.VERIFIED
    won = int(is_verified)
    claimed = outcome.confidence_percent
    decay = DECAY**increment
    if outcome.requester_id is not None:
        return replace(
            counts,
            success_weight=counts.success_weight * decay + (increment if is_verified else 0.0),
            failure_weight=counts.failure_weight * decay + (0.0 if is_verified else increment),
        )
    worked = AgentCounts(
        counts.standing,
        counts.settled_jobs + 1,
        counts.verified_jobs + won,
        counts.success_weight * DECAY + (increment if is_verified else 0.0),
        counts.failure_weight * DECAY + (0.0 if is_verified else increment),
        counts.trial_successes + won,
        counts.trial_failures + 1 - won,
        counts.consecutive_crashes + 1 if outcome.kind is OutcomeKind.CRASHED else 0,
        counts.forecasts + int(claimed is not None),
        counts.brier_sum + (0.0 if claimed is None else (claimed / 100 - won) ** 2),
    )
    after = next_standing(worked, is_verified=is_verified, crash_limit=rules.crash_limit)
    return worked if after is worked.standing else replace(worked, standing=after)


def _state_of(
    counts: AgentCounts,
    records: Mapping[str, Record],
    counterparties: Mapping[tuple[str, int], Evidence],
) -> AgentState:
    return AgentState(
        counts.standing,
        counts.settled_jobs,
        counts.verified_jobs,
        counts.success_weight,
        counts.failure_weight,
        counts.trial_successes,
        counts.trial_failures,
        counts.consecutive_crashes,
        counts.forecasts,
        counts.brier_sum,
        records,
        counterparties,
    )
