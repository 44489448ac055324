"""From facts to a finding: why tasks fail beyond what is usual, and which setting, if any, would help.

Pure; shared by the diagnosticians. It knows no task type and no value beforehand: it looks for the dominating
reason among the excess failures, for a parameter that governs it, and for how far to move it. When nothing
explains the failures, or no setting would help, it says so. It never files anything.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from functools import partial

from app.agents.evidence import Attempted, EndReason, ParameterFact, Risk, TaskFact
from app.agents.excess import KEY_OF, Cell, Dimension, excess_cells
from app.agents.former_values import Former, better_value
from app.agents.memory import Memory
from app.agents.tail import Tail, best_limit, beyond_the_limit, candidate_limits, fit_tail

LEAST_EXCESS = 3.0  # fewer failures beyond the expected are no pattern
LEAST_SHARE = 0.2  # a cell explains something when it holds this share of the excess
LEAST_GAIN = 0.05  # a smaller gain is not worth a test
CONCENTRATION = 0.8  # this share of failures with one agent is that agent's, unless it does most of the work
MAJORITY = 0.5
RATE_CEILING = 0.99
EVIDENCE_MAX = 100
ALPHA = 0.05
CAP_MARGIN = 3
CAP_LEAST, CAP_MOST = 200, 20_000
CAP_DAYS = 7
SAME_VALUE_SHARE = 0.05
WIN = "win"

Lead = tuple[tuple[int, float, str], Callable[[], "Finding"]]
"""Something to look at and its place: kind of evidence, rank, name."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an investigation was asked: the metric's dimension and key, its usual success rate if known."""

    dimension: str = "platform"
    key: str = ""
    baseline_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A change worth proposing. Values are decimal text; `expected_effect` is a gain in success rate."""

    parameter: str
    current: str
    to: str
    expected_effect: str
    root_cause: str
    evidence: tuple[int, ...]
    cap_tasks: int
    cap_days: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in words, and the change to propose, if there is one."""

    summary: str
    draft: Draft | None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an investigator has gathered; `memory` is empty on a platform's first day."""

    facts: Sequence[TaskFact]
    parameters: Sequence[ParameterFact]
    attempted: Sequence[Attempted] = ()
    memory: Memory = field(default_factory=Memory)


def diagnose(known: Knowledge, question: Question, caution: float = 0.8) -> Finding:
    """Explain the excess failures; `caution` shrinks the predicted gain to the effect that is promised."""
    cells = excess_cells(
        known.facts, dimension=question.dimension, key=question.key, baseline_rate=question.baseline_rate
    )
    total = sum(cell.excess for cell in cells if cell.dimension is Dimension.TASK_TYPE)
    telling = [cell for cell in cells if cell.excess >= max(LEAST_EXCESS, LEAST_SHARE * total)]
    if not telling:
        failures = sum(fact.is_failure for fact in known.facts)
        return Finding(f"{failures} of {len(known.facts)} tasks failed, in no pattern; no proposal.", None)
    said = []
    for cell in telling:
        finding = _explained(cell, known, caution)
        said.append(finding.summary)
        if finding.draft is not None:
            return Finding(" ".join(said), finding.draft)
    return Finding(" ".join([*dict.fromkeys(said), "No proposal."]), None)


def tasks_needed(base_rate: float, effect: float, alpha: float = ALPHA) -> int:
    """Tasks an experiment takes, 1.3·ln(1/α)/JSD(base, base + effect), as admission counts them.

    Raises:
        ValueError: a rate outside (0, 1), or no effect.
    """
    better = base_rate + effect
    if not (0.0 < base_rate < better < 1.0):
        raise ValueError("rates must satisfy 0 < base < base + effect < 1")
    middle = (base_rate + better) / 2.0
    divergence = (_relative_entropy(base_rate, middle) + _relative_entropy(better, middle)) / 2.0
    return math.ceil(1.3 * math.log(1.0 / alpha) / divergence)


def _explained(cell: Cell, known: Knowledge, caution: float) -> Finding:
    if cell.dimension is Dimension.AGENT:
        text = (
            f"Agent {cell.key} failed {cell.failures} of its {cell.attempts} tasks ({cell.reason}), "
            f"{cell.excess:.0f} more than its peers would: the market's records will route around it."
        )
        return Finding(text, None)
    culprit = _concentrated_agent(cell, known.facts)
    if culprit is not None:
        text = f"{cell.failures} failures of {cell.key} ({cell.reason}) are nearly all agent {culprit}'s."
        return Finding(text, None)
    said = []
    for _, look in sorted(_leads(cell, known, caution), key=lambda lead: lead[0]):
        finding = look()
        said.append(finding.summary)
        if finding.draft is not None:
            return Finding(" ".join(said), finding.draft)
    if said:
        return Finding(" ".join(said), None)
    if cell.reason != EndReason.TIMED_OUT:
        text = f"{cell.failures} of {cell.attempts} {cell.key} tasks: {cell.reason}; no setting governs it."
        return Finding(text, None)
    return Finding(f"{cell.key} tasks time out, and no open parameter limits their time.", None)


def _leads(cell: Cell, known: Knowledge, caution: float) -> list[Lead]:
    """What is worth a look, each with its place: what went better before, then limits, in the platform's
    ranking.
    """
    governing = [
        parameter
        for parameter in known.parameters
        if parameter.task_type == cell.key and parameter.risk != Risk.FIXED
    ]
    leads: list[Lead] = []
    for parameter in governing:
        place = known.memory.rank(parameter.name)
        if parameter.is_time_limit and cell.reason == EndReason.TIMED_OUT:
            look = partial(_time_limit_finding, cell, parameter, known, caution)
            leads.append(((1, place, parameter.name), look))
        elif not parameter.is_time_limit:
            former = better_value(
                [fact for fact in known.facts if fact.type == cell.key],
                parameter,
                known.memory.under(cell.key, parameter.name),
                _tried_in_vain(parameter, known),
                LEAST_GAIN,
            )
            if former is not None:
                look = partial(_former_value_finding, cell, parameter, caution, former)
                leads.append(((0, place, parameter.name), look))
    return leads


def _tried_in_vain(parameter: ParameterFact, known: Knowledge) -> list[float]:
    ended = [one for one in known.attempted if one.verdict is not None and one.verdict != WIN]
    return [one.value for one in (*ended, *known.memory.in_vain) if one.parameter == parameter.name]


def _former_value_finding(cell: Cell, parameter: ParameterFact, caution: float, former: Former) -> Finding:
    story = (
        f"{cell.failures} of {cell.attempts} {cell.key} tasks failed ({cell.reason}); {parameter.name} is "
        f"{parameter.value:g} and {former.rate_now:.0%} succeeded; at {former.value:g} it was "
        f"{former.success_rate:.0%} of {former.tasks} earlier tasks."
    )
    effect = promised_effect(former.gain, former.rate_now, caution)
    if effect is None:
        return Finding(f"{story} No gain could be shown.", None)
    draft = Draft(
        parameter=parameter.name,
        current=_plain(parameter.value),
        to=_plain(former.value),
        expected_effect=str(effect),
        root_cause=story,
        evidence=cell.task_ids[:EVIDENCE_MAX],
        cap_tasks=cap_for(former.rate_now, float(effect)),
        cap_days=CAP_DAYS,
    )
    return Finding(f"{story} Proposed: {parameter.name} {draft.current} → {draft.to}.", draft)


def _concentrated_agent(cell: Cell, facts: Sequence[TaskFact]) -> str | None:
    key_of = KEY_OF[Dimension.AGENT]
    of_type = [fact for fact in facts if fact.type == cell.key]
    work = Counter(key_of(fact) for fact in of_type)
    failed = Counter(key_of(fact) for fact in of_type if fact.is_failure and fact.end_reason == cell.reason)
    agent, failures = failed.most_common(1)[0]
    is_theirs = failures >= CONCENTRATION * cell.failures and work[agent] < MAJORITY * len(of_type)
    return agent if is_theirs else None


def _time_limit_finding(cell: Cell, limit: ParameterFact, known: Knowledge, caution: float) -> Finding:
    of_type = [fact for fact in known.facts if fact.type == cell.key]
    tail = _seen_beyond(tail_of(of_type, limit), limit, cell, known.memory)
    tried = _tried_in_vain(limit, known)
    highest = min(limit.high, limit.value * limit.step_max)
    candidates = [value for value in candidate_limits(limit.value, highest) if not _is_near(value, tried)]
    story = _story(cell, limit, tail)
    if not candidates:
        return Finding(f"{story} There is no higher value left to try.", None)
    to, share_gained = best_limit(tail, candidates)
    gain = share_gained * _verified_share(of_type)
    if gain < LEAST_GAIN:
        return Finding(f"{story} More time would gain {gain:.0%} at best: it would not help.", None)
    base_rate = sum(not fact.is_failure for fact in of_type) / len(of_type)
    effect = promised_effect(gain, base_rate, caution)
    if effect is None:
        return Finding(f"{story} The success rate is {base_rate:.0%} already: no gain could be shown.", None)
    root_cause = f"{story} At {to:g} s {tail.unfinished_share(to):.0%} would be cut off, by the fitted tail."
    draft = Draft(
        parameter=limit.name,
        current=_plain(limit.value),
        to=_plain(to),
        expected_effect=str(effect),
        root_cause=root_cause,
        evidence=cell.task_ids[:EVIDENCE_MAX],
        cap_tasks=cap_for(base_rate, float(effect)),
        cap_days=CAP_DAYS,
    )
    return Finding(f"{root_cause} Proposed: {limit.name} {draft.current} → {draft.to}.", draft)


def tail_of(of_type: Sequence[TaskFact], limit: ParameterFact) -> Tail:
    """The tail of one type's durations: those that ended, whatever the verifier said, and those cut off, each
    at the limit that was in force for it.
    """
    finished = [
        fact.duration_seconds
        for fact in of_type
        if fact.duration_seconds is not None
        and (not fact.is_failure or fact.end_reason == EndReason.VERIFICATION_FAILED)
    ]
    cut_off = [
        fact.values.get(limit.name, limit.value) for fact in of_type if fact.end_reason == EndReason.TIMED_OUT
    ]
    return fit_tail(finished, cut_off, limit.value)


def _seen_beyond(tail: Tail, limit: ParameterFact, cell: Cell, memory: Memory) -> Tail:
    """The tail by what became of work that was given more time, where the platform remembers enough of it."""
    longer = [one for one in memory.under(cell.key, limit.name) if one.value > limit.value]
    finished = [duration for one in longer for duration in one.durations]
    found = beyond_the_limit(finished, [(one.value, one.timed_out) for one in longer], limit.value)
    if found is None:
        return tail
    exponent, seen = found
    cut_off = min(seen, sum(one.timed_out for one in longer))
    return Tail(limit.value, exponent, seen - cut_off, cut_off, limit.value, tail.cut_off_share)


def promised_effect(gain: float, base_rate: float, caution: float) -> Decimal | None:
    """The gain to promise: shrunk, in hundredths, at least 0.05; None where the base rate leaves no room."""
    room = RATE_CEILING - base_rate
    if room < LEAST_GAIN:
        return None
    promised = max(LEAST_GAIN, min(gain * caution, room))
    return Decimal(repr(promised)).quantize(Decimal("0.01"), rounding=ROUND_DOWN)


def cap_for(base_rate: float, effect: float) -> int:
    """The most tasks an experiment may take: three times what it needs, within bounds."""
    base = min(max(base_rate, 1.0 - RATE_CEILING), 1.0 - effect - 0.001)
    return min(CAP_MOST, max(CAP_LEAST, CAP_MARGIN * tasks_needed(base, effect)))


def _story(cell: Cell, limit: ParameterFact, tail: Tail) -> str:
    return (
        f"{cell.failures} of {cell.attempts} {cell.key} tasks timed out at {limit.value:g} s, where peers "
        f"would lead to expect {cell.expected:.0f}. Of those running longer than "
        f"{tail.threshold_seconds:.3g} s, {tail.finished_above} finished and {tail.cut_off} "
        f"were cut off (tail exponent {tail.exponent:.2f})."
    )


def _verified_share(of_type: Sequence[TaskFact]) -> float:
    """Share verified among tasks that were not cut off; late ones are taken to be as good as the others."""
    ended = [fact for fact in of_type if fact.end_reason != EndReason.TIMED_OUT]
    return sum(not fact.is_failure for fact in ended) / len(ended) if ended else 1.0


def _is_near(value: float, others: Collection[float]) -> bool:
    return any(abs(value - other) <= SAME_VALUE_SHARE * other for other in others)


def _plain(value: float) -> str:
    return format(Decimal(repr(value)).normalize(), "f")


def _relative_entropy(first: float, second: float) -> float:
    return first * math.log(first / second) + (1 - first) * math.log((1 - first) / (1 - second))
