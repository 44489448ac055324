"""The certificate of an experiment: one JSON object from which anyone recomputes both of its legs.

Stands beside the ledger's audit, for one experiment instead of a whole ledger: its entries with their proofs,
its records, and per record what the platform claims. Nothing claimed is believed: arms follow from the salt,
m and E from the records, the level from the stream's earlier entries. It never reads a database or a clock,
and it checks no signature (whoever has a key does that with the checkpoint's note).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.domain.assignment import opens
from services.domain.bet import predictable_mean
from services.domain.canonical import canonical_bytes
from services.domain.certified_entries import (
    CertifiedEntry,
    check_checkpoint,
    check_entries,
    check_level,
    one_of,
)
from services.domain.ledger_records import (
    TOLERANCE,
    EvidenceRefusedError,
    LegEvidence,
    check_arms,
    check_verdict,
    read_records,
)
from services.domain.ledger_schema import EntryType
from services.domain.sequential import (
    FUTILE,
    BetPlan,
    BetState,
    Record,
    RecordRefusedError,
    Verdict,
    start,
    start_probation,
    update,
)
from services.domain.states import ExperimentKind, ExperimentState, Leg

FORMAT: Final = "nacre-certificate/1"
"""What the first field of a certificate says."""
DIGITS: Final = 7
FIELDS: Final = ("format", "experiment_id", "kind", "checkpoint", "entries", "stream", "legs")
CHECKPOINT_FIELDS: Final = ("origin", "size", "root", "note")


class CertificateError(ValueError):
    """Something that is no certificate at all; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the platform says of one record: the mean m before it, and log E (natural) after it."""

    mean: float
    log_e: float


@dataclass(frozen=True, slots=True)
class CertifiedLeg:
    """One leg: its records as the kept blob spells them, and a claim for each."""

    leg: Leg
    blob: Mapping[str, Any]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as read, nothing of it checked but its form.

    checkpoint: origin, size and root (hexadecimal) as they stand beside the note for reading.
    """

    experiment_id: int
    kind: ExperimentKind
    checkpoint: Mapping[str, Any]
    note: str
    entries: tuple[CertifiedEntry, ...]
    stream: tuple[CertifiedEntry, ...]
    legs: tuple[CertifiedLeg, ...]


@dataclass(frozen=True, slots=True)
class LegFinding:
    """What the records of one leg give: plan, records in order, the bet before each and after the last."""

    leg: Leg
    plan: BetPlan
    records: tuple[Record, ...]
    states: tuple[BetState, ...]
    payload: Mapping[str, Any]

    @property
    def last(self) -> BetState:
        """Return the bet after the last record."""
        return self.states[-1]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a certificate was found to be: the legs that hold, and the first difference (None: it holds)."""

    experiment_id: int
    kind: ExperimentKind
    legs: tuple[LegFinding, ...]
    outcome: str
    difference: str | None


def claims_of(plan: BetPlan, state: BetState, records: Sequence[Record]) -> list[Claim]:
    """Return m before and log E after each record, as the bet gives them from `state` on."""
    claims = []
    for record in records:
        mean = mean_before(plan, state, record)
        state = update(plan, state, record)
        claims.append(Claim(mean, state.e_log))
    return claims


def mean_before(plan: BetPlan, state: BetState, record: Record) -> float:
    """Return the predictable mean m that the bet on a record uses."""
    n, total = state.strata.get(record.stratum, (0, 0.0))
    return predictable_mean(plan, state.next_ordinal, sum(state.successes), n, total)


def read_certificate(content: object) -> Certificate:
    """Return the certificate that a JSON value spells; raise CertificateError for anything else."""
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise CertificateError(f"it does not say format {FORMAT!r}; `nacre experiment export` writes one")
    _no_more_than(content, FIELDS, "")
    try:
        number, kind = content["experiment_id"], ExperimentKind(content["kind"])
        if type(number) is not int:
            raise CertificateError("experiment_id is not an integer")
        checkpoint = _checkpoint(content["checkpoint"])
        return Certificate(
            number,
            kind,
            checkpoint,
            _text(checkpoint, "note"),
            tuple(CertifiedEntry.read(item) for item in _list(content, "entries")),
            tuple(CertifiedEntry.read(item) for item in _list(content, "stream")),
            tuple(_leg(item) for item in _list(content, "legs")),
        )
    except KeyError as error:
        raise CertificateError(f"the field {error.args[0]!r} is missing") from error
    except (TypeError, ValueError) as error:
        raise CertificateError(f"a field is not what it should be: {error}") from error


def verify_certificate(certificate: Certificate) -> Finding:
    """Recompute everything a certificate says and return what was found; never raises for a difference.

    In this order: the checkpoint, the entries and their proofs, the start and its level, the trial, what
    followed from it, the probation, what followed from that.
    """
    legs: list[LegFinding] = []
    outcome = "unknown"
    try:
        check_checkpoint(certificate.note, certificate.checkpoint)
        check_entries(certificate.note, (*certificate.entries, *certificate.stream))
        started = _started(certificate)
        plan = BetPlan.from_payload(started.payload["plan"])
        check_level(started, certificate.stream, plan.alpha)
        legs.append(_trial(certificate, started, plan))
        if certificate.kind is ExperimentKind.CHANGE:
            probation = _probation(certificate, started, legs[0])
            legs += [] if probation is None else [probation]
        outcome = _outcome(certificate, started, legs)
        _check_surplus(certificate, legs)
    except (EvidenceRefusedError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        said = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        return Finding(certificate.experiment_id, certificate.kind, tuple(legs), outcome, said)
    return Finding(certificate.experiment_id, certificate.kind, tuple(legs), outcome, None)


def _started(certificate: Certificate) -> CertifiedEntry:
    is_placebo = certificate.kind is ExperimentKind.PLACEBO
    kind = EntryType.PLACEBO_STARTED if is_placebo else EntryType.EXPERIMENT_STARTED
    started = one_of(certificate.entries, kind)
    if started is None:
        raise EvidenceRefusedError(f"there is no {kind} entry")
    for entry in certificate.entries:
        said = entry.payload.get("experiment_id", certificate.experiment_id)
        if said != certificate.experiment_id:
            raise EvidenceRefusedError(
                f"entry {entry.index} is of experiment {said}, not {certificate.experiment_id}"
            )
    return started


def _trial(certificate: Certificate, started: CertifiedEntry, plan: BetPlan) -> LegFinding:
    is_placebo = certificate.kind is ExperimentKind.PLACEBO
    kind = EntryType.PLACEBO_VERDICT if is_placebo else EntryType.VERDICT
    entry = one_of(certificate.entries, kind, Leg.TRIAL)
    if entry is None:
        raise EvidenceRefusedError(f"there is no {kind} entry of the trial")
    _check_order(started, entry)
    commitment = started.payload["salt_commitment"]
    evidence = LegEvidence(certificate.experiment_id, Leg.TRIAL, plan, start(plan), commitment, plan.alpha)
    return _leg_finding(certificate, evidence, entry)


def _probation(certificate: Certificate, started: CertifiedEntry, trial: LegFinding) -> LegFinding | None:
    """Return the probation's finding, None where it has no verdict (yet, or because a person ended it)."""
    begun = one_of(certificate.entries, EntryType.PROBATION_STARTED)
    entry = one_of(certificate.entries, EntryType.VERDICT, Leg.PROBATION)
    if begun is None or entry is None:
        if entry is not None:
            raise EvidenceRefusedError("there is a verdict of a probation that never started")
        return None
    _check_order(begun, entry)
    stated = BetPlan.from_payload(begun.payload["plan"])
    plan, state = start_probation(
        trial.plan,
        trial.last,
        alpha=float(started.payload["confirm_alpha"]),
        share=stated.treatment_share,
        cap_tasks=stated.cap_tasks,
    )
    name = stated.first_difference(plan)
    if name is not None:
        given, computed = getattr(stated, name), getattr(plan, name)
        raise EvidenceRefusedError(f"the probation's {name} is {given!r}, the trial gives {computed!r}")
    evidence = LegEvidence(
        certificate.experiment_id,
        Leg.PROBATION,
        plan,
        state,
        begun.payload["salt_commitment"],
        trial.plan.alpha,
    )
    return _leg_finding(certificate, evidence, entry)


def _leg_finding(certificate: Certificate, evidence: LegEvidence, entry: CertifiedEntry) -> LegFinding:
    """Recompute one leg record by record, then hold its verdict to it."""
    kept = next((item for item in certificate.legs if item.leg is evidence.leg), None)
    if kept is None:
        raise EvidenceRefusedError(f"the records of the {evidence.leg} are missing")
    payload = entry.payload
    try:
        _check_salt(evidence.salt_commitment, payload["salt"])
        blob = canonical_bytes(kept.blob)
        _, records = read_records(blob)
        states = _walked(evidence, payload["salt"], records, kept.claims)
        check_verdict(evidence, payload, blob)
    except (EvidenceRefusedError, TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"{evidence.leg}: {error}") from error
    return LegFinding(evidence.leg, evidence.plan, tuple(records), tuple(states), payload)


def _check_salt(commitment: str, salt: str) -> None:
    if not opens(commitment, salt):
        raise EvidenceRefusedError("the salt does not open the commitment made at the start")


def _walked(
    evidence: LegEvidence, salt: str, records: Sequence[Record], claims: Sequence[Claim]
) -> list[BetState]:
    """Return the bet before each record and after the last; refuse the first record that differs."""
    plan, state = evidence.plan, evidence.state
    check_arms(plan, salt, records)
    states, units = [state], set[str]()
    for place, record in enumerate(records):
        if state.decision.verdict:
            raise EvidenceRefusedError(f"record {place} comes after the record that decided")
        if record.unit in units:
            raise EvidenceRefusedError(f"record {place} counts unit {record.unit!a} a second time")
        units.add(record.unit)
        mean = mean_before(plan, state, record)
        try:
            state = update(plan, state, record)
        except RecordRefusedError as error:
            raise EvidenceRefusedError(f"record {place} cannot be counted: {error}") from error
        states.append(state)
        if place >= len(claims):
            raise EvidenceRefusedError(f"record {place} has no claim of m and log E")
        _check_claim(place, "m", claims[place].mean, mean)
        _check_claim(place, "log E", claims[place].log_e, state.e_log)
    if len(claims) > len(records):
        raise EvidenceRefusedError(f"there are claims for {len(claims)} records, and {len(records)} records")
    return states


def _check_claim(place: int, what: str, claimed: float, computed: float) -> None:
    if not math.isclose(claimed, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        said, given = f"{claimed:.{DIGITS}g}", f"{computed:.{DIGITS}g}"
        if said == given:
            said, given = repr(claimed), repr(computed)
        raise EvidenceRefusedError(f"record {place}: {what} is {said}, the records give {given}")


def _outcome(certificate: Certificate, started: CertifiedEntry, legs: Sequence[LegFinding]) -> str:
    """Return what came of the experiment, held to the verdicts: the last thing that its entries say."""
    verdict = Verdict(legs[0].payload["verdict"])
    if certificate.kind is ExperimentKind.PLACEBO:
        return f"placebo: {verdict}"
    promoted = one_of(certificate.entries, EntryType.PROMOTED)
    refused = one_of(certificate.entries, EntryType.REFUSED)
    if promoted is None:
        return _without_promotion(verdict, legs[0].payload["reason"], is_refused=refused is not None)
    if verdict is not Verdict.WIN:
        raise EvidenceRefusedError(f"entry {promoted.index} promotes what ended as {verdict}")
    if refused is not None:
        raise EvidenceRefusedError(f"entry {refused.index} refuses what entry {promoted.index} promotes")
    _check_order(started, promoted)
    for name, other in (("from", "control"), ("to", "treatment"), ("parameter", "parameter")):
        if promoted.payload[name] != started.payload[other]:
            raise EvidenceRefusedError(f"{name} of entry {promoted.index} is not the {other} that was tested")
    if promoted.payload["read_back"] != promoted.payload["to"]:
        raise EvidenceRefusedError(f"entry {promoted.index} read back another value than it promoted")
    return _after_promotion(certificate, promoted, legs)


def _without_promotion(verdict: Verdict, reason: str, *, is_refused: bool) -> str:
    """Return the state that a trial without a promotion leaves its experiment in."""
    if verdict is Verdict.WIN:
        return str(ExperimentState.REFUSED if is_refused else ExperimentState.PROVISIONAL)
    if verdict in (Verdict.LOSS, Verdict.INVALID):
        return str(ExperimentState.ABORTED)
    return str(ExperimentState.FUTILE if reason == FUTILE else ExperimentState.INCONCLUSIVE)


def _after_promotion(certificate: Certificate, promoted: CertifiedEntry, legs: Sequence[LegFinding]) -> str:
    """Return whether a promotion was confirmed, was rolled back, or is in probation."""
    confirmed = one_of(certificate.entries, EntryType.CONFIRMED)
    undone = one_of(certificate.entries, EntryType.ROLLED_BACK)
    second = Verdict(legs[1].payload["verdict"]) if len(legs) > 1 else None
    if confirmed is not None:
        if second is not Verdict.WIN:
            raise EvidenceRefusedError(f"entry {confirmed.index} confirms a probation that was not won")
        return "confirmed" if undone is None else "confirmed, later rolled back"
    if undone is None:
        return str(ExperimentState.PROBATION) if second is None else f"probation: {second}"
    if undone.payload["promoted_index"] != promoted.index:
        raise EvidenceRefusedError(f"entry {undone.index} rolls back another promotion")
    if second is Verdict.WIN and undone.actor.startswith("system:"):
        raise EvidenceRefusedError(f"entry {undone.index} rolls back a probation that was won")
    return "rolled back"


def _check_order(earlier: CertifiedEntry, later: CertifiedEntry) -> None:
    if earlier.index >= later.index:
        raise EvidenceRefusedError(
            f"{later.type} (entry {later.index}) comes before {earlier.type} (entry {earlier.index})"
        )


def _check_surplus(certificate: Certificate, legs: Iterable[LegFinding]) -> None:
    """Refuse records that no verdict speaks of: they would look checked and are not."""
    checked = [leg.leg for leg in legs]
    for item in certificate.legs:
        if item.leg not in checked or sum(other.leg is item.leg for other in certificate.legs) > 1:
            raise EvidenceRefusedError(f"there are records of a {item.leg} that no verdict speaks of")


def _no_more_than(item: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse a field that nothing checks: a reader would take it for part of what holds."""
    unknown = sorted(str(name) for name in item if name not in known)
    if unknown:
        raise CertificateError(f"the field {where}{unknown[0][:40]!a} is not one of {', '.join(known)}")


def _checkpoint(item: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise CertificateError("checkpoint is not an object")
    _no_more_than(item, CHECKPOINT_FIELDS, "checkpoint.")
    for name in CHECKPOINT_FIELDS:
        if name not in item:
            raise CertificateError(f"the field 'checkpoint.{name}' is missing")
    return item


def _leg(item: Mapping[str, Any]) -> CertifiedLeg:
    claims = tuple(Claim(float(claim["m"]), float(claim["log_e"])) for claim in _list(item, "claims"))
    blob = item["records"]
    if not isinstance(blob, Mapping):
        raise CertificateError("the records of a leg are not an object")
    return CertifiedLeg(Leg(item["leg"]), blob, claims)


def _list(item: Mapping[str, Any], name: str) -> list[Any]:
    value = item[name]
    if not isinstance(value, list):
        raise CertificateError(f"{name} is not a list")
    return value


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item[name]
    if not isinstance(value, str):
        raise CertificateError(f"{name} is not a string")
    return value
