"""`nacre ledger verify`: an export checked from its bytes alone, by somebody who does not trust the platform.

Stands outside the platform: no database, no settings, no key of ours. It never repairs and never guesses: the
first thing that is wrong is named.
"""

import base64
import binascii
import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.cli.actions.screen import say_json, say_line, say_note
from app.keys import is_signed_by
from services import evolution_ledger
from services.domain.errors import InvalidValueError
from services.domain.hash_chain import parse_checkpoint
from services.domain.ledger_audit import AuditReport

ED25519_KEY_BYTES = 33
KEY_PARTS = 3
LINE_LIMIT: Final = 64_000_000
"""Bytes of one line of an export; the records of an experiment of a million tasks have fewer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the signatures say: `not_checked`, `valid`, or `invalid` with the reason."""

    signature: str
    reason: str = ""


def verify(file: str, checkpoint: str | None, key: str | None, *, as_json: bool) -> int:
    """Check an export; print what was found and return 0, or 1 when anything is wrong."""
    if key is not None:
        check_key(key)
    lines = lines_of(file)
    first = next(lines, b"")
    kept = [] if checkpoint is None else _kept_notes(checkpoint)
    report = _audit(itertools.chain([first] if first else [], lines), kept)
    finding = check_signatures(first, kept, key)
    is_ok = report.ok and finding.signature != "invalid"
    reason = report.reason or finding.reason
    if as_json:
        say_json(
            {
                "ok": is_ok,
                "size": report.size,
                "root": report.root_hex,
                "format": report.format,
                "raised": [{"index": index, "format": written} for index, written in report.raised],
                "not_demanded": report.not_demanded,
                "first_error_index": report.first_error_index,
                "reason": reason,
                "signature": finding.signature,
            }
        )
    elif is_ok:
        signature = finding.signature.replace("_", " ")
        formats = " then ".join(str(written) for written in (report.format, *dict(report.raised).values()))
        said = f"{report.size} entries of format {formats}, root {report.root_hex}"
        say_line(f"OK: {said}, signature {signature}")
        for sentence in report.not_demanded:
            say_note(sentence)
    elif report.ok:
        say_note(f"NOT OK: {reason}")
    else:
        say_note(f"NOT OK: entry {report.first_error_index}: {reason}")
    return 0 if is_ok else 1


def _audit(lines: Iterable[bytes], kept: list[str]) -> AuditReport:
    try:
        return evolution_ledger.verify_export(lines, trusted_notes=kept)
    except (RecursionError, ValueError) as error:
        msg = f"the file is no ledger export: {error}"
        raise InvalidValueError(msg, field="file", code="not_an_export") from error


def check_signatures(first_line: bytes, kept: Sequence[str], key: str | None) -> Finding:
    """Check the export's own note, and the kept ones, with the verifier key if there is one."""
    claim: dict[str, Any] = json.loads(first_line)
    note = claim.get("note")
    if not isinstance(note, str):
        return (
            Finding("not_checked") if key is None else Finding("invalid", "the export carries no signed note")
        )
    try:
        said = parse_checkpoint(note)[1:]
    except ValueError as error:
        return Finding("invalid", f"the export's note is no checkpoint: {error}")
    if said != (int(claim["size"]), bytes.fromhex(claim["root"])):
        return Finding("invalid", "the signed note speaks of another size or root than the export claims")
    if key is None:
        return Finding("not_checked")
    if not is_signed_by(note, key):
        return Finding("invalid", "the export's checkpoint is not signed with this key")
    if not all(is_signed_by(note, key) for note in kept):
        return Finding("invalid", "the kept checkpoint is not signed with this key")
    return Finding("valid")


def check_key(key: str) -> None:
    """Raise InvalidValueError unless `key` is a C2SP Ed25519 verifier key: name+id+base64."""
    parts = key.split("+", KEY_PARTS - 1)
    try:
        raw = base64.b64decode(parts[KEY_PARTS - 1], validate=True)
        fits = len(raw) == ED25519_KEY_BYTES and raw[0] == 1
        digest = hashlib.sha256(parts[0].encode() + b"\n" + raw).hexdigest()
        fits = fits and parts[1] == digest[:8]
    except (IndexError, ValueError, binascii.Error):
        fits = False
    if not fits:
        msg = "the verifier key must be name+id+base64 of an Ed25519 key, as `nacre ledger key` prints it"
        raise InvalidValueError(msg, field="key", code="key_malformed")


def lines_of(file: str) -> Iterator[bytes]:
    """Yield the lines of a file, or of standard input for -, each with its end; one is held at a time.

    Raises InvalidValueError when it cannot be read, or for a line that no export has (`line_too_long`).
    """
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
            for number in itertools.count(1):
                line = stream.readline(LINE_LIMIT + 1)
                if len(line) > LINE_LIMIT:
                    msg = f"line {number} of {file} is longer than {LINE_LIMIT:,} bytes; no export has one"
                    raise InvalidValueError(msg, field="file", code="line_too_long")
                if not line:
                    return
                yield line
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise InvalidValueError(msg, field="file", code="file_unreadable") from error


def read_file(file: str) -> bytes:
    """Return the bytes of a file, or of standard input for -; InvalidValueError when it cannot be read."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise InvalidValueError(msg, field="file", code="file_unreadable") from error


def _kept_notes(name: str) -> list[str]:
    """Return the note in a file, or every note (`*.note`) in a folder."""
    folder = Path(name)
    if name == "-" or not folder.is_dir():
        return [_kept_note(name)]
    notes = [_kept_note(str(file)) for file in sorted(folder.glob("*.note"))]
    if not notes:
        msg = f"{name} is a folder without a single NAME.note in it"
        raise InvalidValueError(msg, field="checkpoint", code="not_a_checkpoint")
    return notes


def _kept_note(file: str) -> str:
    try:
        text = read_file(file).decode()
        parse_checkpoint(text)
    except ValueError as error:
        msg = f"{file} holds no checkpoint: {error}"
        raise InvalidValueError(msg, field="checkpoint", code="not_a_checkpoint") from error
    return text
