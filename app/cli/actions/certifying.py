"""`nacre experiment export` and `verify`: a certificate written, and recomputed by anyone.

With a file it stands outside the platform: no database, no settings, no key of ours. It never repairs and
never guesses: the first difference is named.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from app.cli.actions.auditing import Finding as Signature
from app.cli.actions.auditing import check_key
from app.cli.actions.opening import existing, opened_store
from app.cli.actions.screen import say_json, say_line, say_note
from app.keys import CheckpointSigner, is_signed_by
from services.domain.canonical import DEEPEST_NESTING
from services.domain.certificate import (
    Certificate,
    CertificateError,
    Finding,
    LegFinding,
    read_certificate,
    verify_certificate,
)
from services.domain.errors import ConflictError, InvalidValueError, NotFoundError
from services.domain.ledger_records import evidence_text
from services.evolution_ledger import certificates


def export(database: str | None, experiment_id: int, out: str) -> int:
    """Write the certificate of an experiment as JSON, whole or not at all."""
    content = certificate_of(database, experiment_id)
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    write_text(out, text)
    if out != "-":
        say_note(f"the certificate of experiment {experiment_id} is in {out}")
    return 0


def verify(database: str | None, subject: str, key: str | None, *, as_json: bool) -> int:
    """Recompute an experiment; print what was found and return 0, or 1 when anything differs."""
    if key is not None:
        check_key(key)
    certificate = certificate_read(database, subject)
    finding = verify_certificate(certificate)
    signature = check_signature(certificate, key)
    is_ok = finding.difference is None and signature.signature != "invalid"
    difference = finding.difference or signature.reason or None
    if as_json:
        say_json(
            {
                "ok": is_ok,
                "experiment_id": finding.experiment_id,
                "kind": finding.kind.value,
                "outcome": finding.outcome,
                "difference": difference,
                "signature": signature.signature,
                "legs": [leg_facts(leg) for leg in finding.legs],
            }
        )
    elif is_ok:
        _say_ok(finding, signature)
    else:
        say_note(f"NOT OK: experiment {finding.experiment_id}: {difference}")
    return 0 if is_ok else 1


def _say_ok(finding: Finding, signature: Signature) -> None:
    said = signature.signature.replace("_", " ")
    say_line(f"OK: experiment {finding.experiment_id} ({finding.outcome}), signature {said}")
    for leg in finding.legs:
        facts = leg_facts(leg)
        say_line(
            f"{leg.leg}: {facts['records']} records give E = {float(facts['e']):.6g} (line "
            f"{facts['threshold']:.6g}), effect {facts['estimate']:+.4f} "
            f"[{facts['lower']:+.4f}, {facts['upper']:+.4f}], verdict {facts['verdict']}: {facts['reason']}"
        )


def leg_facts(leg: LegFinding) -> dict[str, Any]:
    """Return what the records of a leg give, for reading."""
    control, treatment = leg.last.assigned
    return {
        "leg": leg.leg.value,
        "records": len(leg.records),
        "control": control,
        "treatment": treatment,
        "e": evidence_text(leg.last.e_log),
        "e_max": evidence_text(leg.last.e_max_log),
        "alpha": leg.plan.alpha,
        "threshold": 1.0 / leg.plan.alpha,
        "verdict": leg.payload["verdict"],
        "reason": leg.payload["reason"],
        **{name: float(leg.payload[name]) for name in ("estimate", "lower", "upper")},
    }


def check_signature(certificate: Certificate, key: str | None) -> Signature:
    """Say whether the checkpoint's note is signed with a key, when one is given."""
    if key is None:
        return Signature("not_checked")
    if not is_signed_by(certificate.note, key):
        return Signature("invalid", "the checkpoint is not signed with this key")
    return Signature("valid")


def certificate_read(database: str | None, subject: str) -> Certificate:
    """Return the certificate of an experiment's number, or of a file; InvalidValueError for anything else."""
    content = _of_number(database, int(subject)) if is_number(subject) else _loaded(subject)
    try:
        return read_certificate(content)
    except CertificateError as error:
        msg = f"{subject} is no certificate: {error}"
        raise InvalidValueError(msg, field="file", code="not_a_certificate") from error


def is_number(subject: str) -> bool:
    """Tell whether an argument names an experiment by its number."""
    return subject.isascii() and subject.isdigit()


def certificate_of(database: str | None, experiment_id: int) -> dict[str, Any]:
    """Return the certificate from the database."""
    settings = existing(database)
    signer = CheckpointSigner.from_directory(settings.var_directory)
    with opened_store(settings) as store, store.read() as tx:
        return certificates.certificate(tx, signer, experiment_id)


def _of_number(database: str | None, experiment_id: int) -> dict[str, Any]:
    """Return the certificate from the database; InvalidValueError when there is none (yet)."""
    try:
        return certificate_of(database, experiment_id)
    except (ConflictError, NotFoundError) as error:
        raise InvalidValueError(error.detail, field="id", code=error.code) from error


def _loaded(file: str) -> object:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise InvalidValueError(msg, field="file", code="file_unreadable") from error
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        said = f"nested deeper than {DEEPEST_NESTING}" if isinstance(error, RecursionError) else str(error)
        msg = f"{file} is no certificate: it is not JSON ({said[:120]})"
        raise InvalidValueError(msg, field="file", code="not_a_certificate") from error


def write_text(out: str, text: str) -> None:
    """Write a text to a file, whole or not at all, or to standard output."""
    if out == "-":
        sys.stdout.write(text)
        return
    path = Path(out)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise InvalidValueError(msg, field="out", code="file_unwritable") from error
    finally:
        partial.unlink(missing_ok=True)
