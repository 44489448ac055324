"""The records of one experiment as evidence: written once as a blob, replayed by anyone.

Stands between the sandbox, which writes the blob when an experiment ends, and the audit, which recomputes
arms, wealth and verdict from it. It never trusts a figure that it can compute.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.domain.assignment import arm_of, commitment
from services.domain.canonical import canonical_bytes, parse_canonical
from services.domain.sequential import BetPlan, Record, Replay, Verdict, replay

TOLERANCE: Final = 1e-9  # relative: `log` may differ in the last digit between C libraries
_LEFT_OPEN: Final = (Verdict.INCONCLUSIVE, Verdict.INVALID)


class EvidenceRefusedError(ValueError):
    """Records that do not bear out what an entry says of them; the message is one sentence."""


def records_bytes(experiment_id: int, records: Iterable[Record]) -> bytes:
    """Return the canonical blob of an experiment's records, in assignment order; floats as `repr` strings."""
    rows = [
        [record.ordinal, record.unit, record.arm, repr(float(record.share)), repr(float(record.outcome)),
         record.stratum]
        for record in records
    ]  # fmt: skip
    return canonical_bytes({"experiment_id": experiment_id, "records": rows})


def read_records(blob: bytes) -> tuple[int, list[Record]]:
    """Return (experiment_id, records) of a blob; EvidenceRefusedError unless `records_bytes` wrote it."""
    try:
        content: Any = parse_canonical(blob)
    except ValueError as error:
        raise EvidenceRefusedError(f"the records blob is not canonical JSON: {error}") from error
    if not isinstance(content, dict) or content.keys() != {"experiment_id", "records"}:
        raise EvidenceRefusedError("the records blob is not {experiment_id, records}")
    experiment_id, rows = content["experiment_id"], content["records"]
    if type(experiment_id) is not int or not isinstance(rows, list):
        raise EvidenceRefusedError("the records blob has no integer experiment_id and list of records")
    return experiment_id, [_record(place, row) for place, row in enumerate(rows)]


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


def check_verdict(
    *, experiment_id: int, plan: BetPlan, salt_commitment: str, payload: Mapping[str, Any], blob: bytes
) -> None:
    """Raise EvidenceRefusedError unless `blob` bears out the VERDICT `payload` under plan and commitment.

    The salt must open the commitment, the blob must hash to `records_sha256`, every arm must be the one
    the salt assigns, and the replayed bet must give the same verdict, counts, e and e_max. A bet that the
    records leave undecided (stopped at its time limit) may only be called inconclusive or invalid.
    """
    _check_salt(payload["salt"], salt_commitment)
    if hashlib.sha256(blob).hexdigest() != payload["records_sha256"]:
        raise EvidenceRefusedError("the records blob does not hash to records_sha256")
    named, records = read_records(blob)
    if named != experiment_id:
        raise EvidenceRefusedError(f"the records blob is of experiment {named}, not {experiment_id}")
    _check_arms(payload["salt"], records)
    try:
        result = replay(plan, records)
    except (ArithmeticError, ValueError) as error:
        raise EvidenceRefusedError(f"the records do not replay: {error}") from error
    _check_outcome(payload, result)


def _record(place: int, row: Any) -> Record:
    kinds = (int, str, int, str, str, str)
    if not isinstance(row, list) or [type(field) for field in row] != list(kinds):
        raise EvidenceRefusedError(
            f"record {place} is not [ordinal, unit, arm, share, outcome, stratum] with decimals as strings"
        )
    ordinal, unit, arm, share, outcome, stratum = row
    try:
        return Record(ordinal, unit, arm, float(share), float(outcome), stratum)
    except ValueError as error:
        raise EvidenceRefusedError(f"record {place} has a share or outcome that is not a decimal") from error


def _check_salt(salt: str, salt_commitment: str) -> None:
    try:
        opened = commitment(salt)
    except ValueError as error:
        raise EvidenceRefusedError(f"the salt is not one: {error}") from error
    if opened != salt_commitment:
        raise EvidenceRefusedError("the salt does not open the commitment made at the start")


def _check_arms(salt: str, records: Iterable[Record]) -> None:
    for record in records:
        try:
            assigned = arm_of(salt, record.unit, record.share)
        except ValueError as error:
            raise EvidenceRefusedError(f"record {record.ordinal} cannot be assigned: {error}") from error
        if record.arm != assigned:
            raise EvidenceRefusedError(
                f"record {record.ordinal} (unit {record.unit!a}) is in arm {record.arm}, "
                f"the salt assigns arm {assigned}"
            )


def _check_outcome(payload: Mapping[str, Any], result: Replay) -> None:
    stated = Verdict(payload["verdict"])
    verdict = result.decision.verdict
    if verdict is not stated and (verdict is not None or stated not in _LEFT_OPEN):
        raise EvidenceRefusedError(f"the verdict says {stated}, the records give {verdict or 'no verdict'}")
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
