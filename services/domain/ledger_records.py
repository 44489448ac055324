"""The records of one experiment as evidence: written once as a blob, replayed by anyone.

Stands between the sandbox, which writes the blob when an experiment ends, and the audit, which recomputes
arms, wealth and verdict from it. It never trusts a figure that it can compute.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.domain.assignment import arm_of, commitment
from services.domain.canonical import canonical_bytes, parse_canonical
from services.domain.confidence import confidence_sequence
from services.domain.sequential import (
    DEADLINE,
    BetPlan,
    BetState,
    Record,
    Replay,
    Verdict,
    replay,
    share_now,
    update,
)
from services.domain.states import Leg

TOLERANCE: Final = 1e-9  # relative: `log` may differ in the last digit between C libraries
CLOCK_SKEW_US: Final = 60_000_000  # by which the clocks of the platform's processes may differ
REASON_LETTERS: Final = 120  # of a verdict's reason that are kept
INTERVAL_TOLERANCE: Final = 1e-6  # the limits are found by bisection
_FIRST_COLUMNS: Final = 6


class EvidenceRefusedError(ValueError):
    """Records that do not bear out what an entry says of them; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class LegEvidence:
    """What a verdict is held to: its leg's plan and first state, the commitment, the interval's level.

    elapsed_us: time from the leg's start to its verdict, None when that is not known. counted: the units of
    the leg before, none of which may be bet on again. deadline_us: time after which an open bet may be ended.
    """

    experiment_id: int
    leg: Leg
    plan: BetPlan
    state: BetState
    salt_commitment: str
    interval_alpha: float
    elapsed_us: int | None = None
    counted: frozenset[str] = frozenset()
    deadline_us: int | None = None


def records_bytes(experiment_id: int, records: Iterable[Record], leg: Leg = Leg.TRIAL) -> bytes:
    """Return the canonical blob of a leg's records, in assignment order; floats as `repr` strings."""
    rows = [
        [record.ordinal, record.unit, record.arm, repr(float(record.share)), repr(float(record.outcome)),
         record.stratum, record.at_us, record.is_resolved, [repr(float(m)) for m in record.guardrails]]
        for record in records
    ]  # fmt: skip
    return canonical_bytes({"experiment_id": experiment_id, "leg": str(leg), "records": rows})


def read_records(blob: bytes) -> tuple[int, list[Record]]:
    """Return (experiment_id, records) of a blob; EvidenceRefusedError unless `records_bytes` wrote it."""
    experiment_id, _, records = _read(blob)
    return experiment_id, records


def units_of(blob: bytes) -> frozenset[str]:
    """Return the units that were bet on in a records blob; raises what `read_records` raises."""
    return frozenset(record.unit for record in read_records(blob)[1])


def evidence_text(log_e: float) -> str:
    """Return the E of a natural logarithm as the ledger writes it: `repr` of exp, "inf" beyond doubles."""
    return repr(_exp(log_e))


def outcome_fields(result: Replay) -> dict[str, Any]:
    """Return the VERDICT payload fields that a replay fixes: counts, successes, e, e_max at the decision."""
    state = result.state
    return {
        "tasks": state.next_ordinal,
        "control_tasks": state.assigned[0],
        "control_successes": repr(float(state.successes[0])),
        "treatment_tasks": state.assigned[1],
        "treatment_successes": repr(float(state.successes[1])),
        "e": evidence_text(state.e_log),
        "e_max": evidence_text(state.e_max_log),
    }


def check_verdict(evidence: LegEvidence, payload: Mapping[str, Any], blob: bytes) -> Replay:
    """Raise EvidenceRefusedError unless `blob` bears out the VERDICT `payload`; return the replayed bet.

    The salt must open the commitment, the blob must hash to `records_sha256` and be of this leg, every
    share must be the plan's in its turn and every arm the one the salt assigns, and the replayed bet must
    end with the last record and give the same verdict, reason, counts, e, e_max, estimate and limits. A bet
    that the records leave undecided (stopped at its time limit) may only be called
    inconclusive, not before its deadline.
    """
    _check_salt(payload["salt"], evidence.salt_commitment)
    if hashlib.sha256(blob).hexdigest() != payload["records_sha256"]:
        raise EvidenceRefusedError("the records blob does not hash to records_sha256")
    records = _records_of(evidence, blob)
    check_arms(evidence.plan, payload["salt"], records)
    try:
        result = replay(evidence.plan, records, evidence.state)
        estimate = confidence_sequence(evidence.plan, records, evidence.interval_alpha)
    except (ArithmeticError, ValueError) as error:
        raise EvidenceRefusedError(f"the records do not replay: {error}") from error
    if len(records) != result.state.next_ordinal:
        raise EvidenceRefusedError(
            f"the bet ended with record {result.state.next_ordinal - 1}, others follow"
        )
    _check_ramp(evidence.plan, evidence.state, records)
    _check_outcome(payload, result)
    if result.decision.verdict is None:
        _check_deadline(evidence, payload)
    for name, computed in estimate._asdict().items():
        if not math.isclose(float(payload[name]), computed, abs_tol=INTERVAL_TOLERANCE):
            raise EvidenceRefusedError(
                f"the verdict's {name} is {payload[name]}, the records give {computed!r}"
            )
    return result


def _read(blob: bytes) -> tuple[int, str | None, list[Record]]:
    """Return (experiment_id, leg, records) of a blob; blobs written before there were legs have none."""
    try:
        content: Any = parse_canonical(blob)
    except ValueError as error:
        raise EvidenceRefusedError(f"the records blob is not canonical JSON: {error}") from error
    if not isinstance(content, dict) or content.keys() - {"leg"} != {"experiment_id", "records"}:
        raise EvidenceRefusedError("the records blob is not {experiment_id, leg, records}")
    experiment_id, rows = content["experiment_id"], content["records"]
    if type(experiment_id) is not int or not isinstance(rows, list):
        raise EvidenceRefusedError("the records blob has no integer experiment_id and list of records")
    return experiment_id, content.get("leg"), [_record(place, row) for place, row in enumerate(rows)]


def _record(place: int, row: Any) -> Record:
    """Return the record of a row; one of six columns was written before times and guardrails were kept."""
    kinds = [int, str, int, str, str, str, int, bool, list]
    given = [*row, 0, True, []] if isinstance(row, list) and len(row) == _FIRST_COLUMNS else row
    if not isinstance(given, list) or [type(field) for field in given] != kinds:
        raise EvidenceRefusedError(
            f"record {place} is not [ordinal, unit, arm, share, outcome, stratum, at_us, is_resolved, "
            "guardrails] with decimals as strings"
        )
    ordinal, unit, arm, share, outcome, stratum, at_us, is_resolved, measures = given
    try:
        numbers = tuple(float(measure) for measure in measures)
        return Record(ordinal, unit, arm, float(share), float(outcome), stratum, at_us, is_resolved, numbers)
    except (TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"record {place} has a measure that is not a decimal") from error


def _records_of(evidence: LegEvidence, blob: bytes) -> list[Record]:
    """Return the records of a blob that is of this leg and time, and bets on no unit of the leg before."""
    named, leg, records = _read(blob)
    if named != evidence.experiment_id:
        raise EvidenceRefusedError(f"the records blob is of experiment {named}, not {evidence.experiment_id}")
    if leg not in (None, evidence.leg):
        raise EvidenceRefusedError(f"the records blob is of the leg {leg!a}, not of the {evidence.leg}")
    for record in records:
        if record.unit in evidence.counted:
            raise EvidenceRefusedError(
                f"record {record.ordinal} (unit {record.unit!a}) was bet on in the trial already"
            )
        if evidence.elapsed_us is not None and record.at_us > evidence.elapsed_us + CLOCK_SKEW_US:
            raise EvidenceRefusedError(f"record {record.ordinal} was assigned after the verdict")
    return records


def _check_salt(salt: str, salt_commitment: str) -> None:
    try:
        opened = commitment(salt)
    except ValueError as error:
        raise EvidenceRefusedError(f"the salt is not one: {error}") from error
    if opened != salt_commitment:
        raise EvidenceRefusedError("the salt does not open the commitment made at the start")


def check_arms(plan: BetPlan, salt: str, records: Iterable[Record]) -> None:
    """Raise EvidenceRefusedError unless every share is the plan's in its turn and every arm the salt's.

    A ramp's share comes first, for `ramp_tasks` records at least, and never again after the plan's own:
    whoever could choose the share of a record afterwards could choose its arm.
    """
    is_ramp_over = plan.ramp_share is None
    for record in records:
        if not is_ramp_over and record.share != plan.ramp_share:
            if record.ordinal < plan.ramp_tasks:
                raise EvidenceRefusedError(f"record {record.ordinal} has share {record.share} in the ramp")
            is_ramp_over = True
        if is_ramp_over and record.share != plan.treatment_share:
            raise EvidenceRefusedError(f"record {record.ordinal} has share {record.share}, not the plan's")
        try:
            assigned = arm_of(salt, record.unit, record.share)
        except ValueError as error:
            raise EvidenceRefusedError(f"record {record.ordinal} cannot be assigned: {error}") from error
        if record.arm != assigned:
            raise EvidenceRefusedError(
                f"record {record.ordinal} (unit {record.unit!a}) is in arm {record.arm}, "
                f"the salt assigns arm {assigned}"
            )


def _check_ramp(plan: BetPlan, state: BetState, records: Iterable[Record]) -> None:
    """Refuse a ramp that ended before any count of its tasks was calm enough."""
    if plan.ramp_share is None:
        return
    for record in records:
        if record.share != plan.ramp_share:
            raise EvidenceRefusedError(f"record {record.ordinal} ends a ramp that showed a hint of harm")
        state = update(plan, state, record)
        if share_now(plan, state, plan.ramp_share) == plan.treatment_share:
            return


def _check_deadline(evidence: LegEvidence, payload: Mapping[str, Any]) -> None:
    """Refuse to end an open bet for another reason than its time, or before it."""
    if payload["reason"] != DEADLINE:
        raise EvidenceRefusedError(f"the records leave the bet open; only {DEADLINE!a} could have ended it")
    is_early = (
        evidence.deadline_us is not None
        and evidence.elapsed_us is not None
        and evidence.elapsed_us + CLOCK_SKEW_US < evidence.deadline_us
    )
    if is_early:
        raise EvidenceRefusedError("the verdict ends an open bet before its deadline")


def _check_outcome(payload: Mapping[str, Any], result: Replay) -> None:
    stated = Verdict(payload["verdict"])
    verdict = result.decision.verdict
    if stated is not (verdict or Verdict.INCONCLUSIVE):
        raise EvidenceRefusedError(f"the verdict says {stated}, the records give {verdict or 'no verdict'}")
    reason = result.decision.reason[:REASON_LETTERS]
    if verdict is not None and payload["reason"] != reason:
        raise EvidenceRefusedError(
            f"the verdict's reason is {payload['reason']!a}, the records give {reason!a}"
        )
    for name, computed in outcome_fields(result).items():
        value = payload[name]
        if isinstance(computed, int):
            agrees = value == computed
        else:
            agrees = math.isclose(float(value), float(computed), rel_tol=TOLERANCE)
        if not agrees:
            raise EvidenceRefusedError(f"the verdict's {name} is {value}, the records give {computed}")


def _exp(logarithm: float) -> float:
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf
