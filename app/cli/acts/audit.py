"""The act of `nacre ledger verify`: an export is audited from its bytes alone, without a database.

Stands over the ledger's offline audit, for someone who does not trust the platform. With a key it also holds
the signed note against the size and root that were audited, so that a note of another ledger does not pass.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from app.cli.acts.printing import print_json, say
from app.keys import is_signed_by
from services.domain.errors import InvalidValueError, LedgerBrokenError
from services.domain.hash_chain import parse_checkpoint
from services.domain.ledger_audit import AuditReport
from services.evolution_ledger import verify_export

STANDARD_INPUT = Path("-")
VERIFIER_KEY = re.compile(r"[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}")
UNREADABLE = (ValueError, OverflowError, RecursionError)


def verify(*, file: Path, checkpoint: Path | None, key: str | None, as_json: bool) -> int:
    """Audit the file and print OK, or the first error; return 1 for a ledger that does not hold."""
    if key is not None and not VERIFIER_KEY.fullmatch(key):
        raise InvalidValueError("a verifier key looks like nacre+1a2b3c4d+AQ…; see `nacre ledger key`")
    trusted = None if checkpoint is None else _trusted_note(checkpoint)
    lines = sys.stdin.buffer.readlines() if file == STANDARD_INPUT else _read(file).splitlines(keepends=True)
    try:
        report = verify_export(lines, trusted_note=trusted)
    except UNREADABLE as error:
        raise InvalidValueError(f"{file} is no ledger export: {error}", field="file") from error
    signature = "not checked" if key is None else _signature(lines[0], key, report)
    is_good = report.ok and signature in {"valid", "not checked"}
    if as_json:
        print_json(_payload(report, signature, is_good=is_good))
        return 0 if is_good else 1
    if not report.ok:
        raise LedgerBrokenError(f"entry {report.first_error_index}: {report.reason}")
    if not is_good:
        raise LedgerBrokenError(f"the {report.size} entries hold together, but {signature}")
    say(f"OK: {report.size} entries, root {report.root_hex}")
    say(f"The config after them has {len(report.config)} parameters. Signature: {signature}.")
    return 0


def _payload(report: AuditReport, signature: str, *, is_good: bool) -> dict[str, Any]:
    return {
        "ok": is_good,
        "size": report.size,
        "root": report.root_hex,
        "first_error_index": report.first_error_index,
        "reason": report.reason,
        "signature": signature,
        "config": report.config,
    }


def _signature(first_line: bytes, key: str, report: AuditReport) -> str:
    """Return "valid", or what is wrong with the note that the export comes with."""
    try:
        note = str(json.loads(first_line)["note"])
        _, size, root = parse_checkpoint(note)
    except (*UNREADABLE, KeyError, TypeError):
        return "the export has no checkpoint note"
    if not is_signed_by(note, key):
        return "its checkpoint note is not signed by this key"
    if report.ok and (size, root.hex()) != (report.size, report.root_hex):
        return f"its signed note is of another ledger (size {size})"
    return "valid"


def _trusted_note(path: Path) -> str:
    try:
        note = _read(path).decode("utf-8")
        parse_checkpoint(note)
    except ValueError as error:
        raise InvalidValueError(f"{path} is no checkpoint note: {error}", field="checkpoint") from error
    return note


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        detail = f"{path} cannot be read: {error.strerror}"
        raise InvalidValueError(detail, field="file", code="file_unreadable") from error
