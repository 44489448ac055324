"""The export of the ledger and its audit: one file that somebody can check without trusting the platform.

Stands over the Merkle log. A file has one form: a checkpoint, every leaf in its exact bytes, then the blobs
that entries name in the order of their hashes; whatever departs from it is refused. It never writes an entry.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from services.domain.canonical import canonical_bytes, parse_canonical
from services.domain.errors import InvalidValueError
from services.domain.hash_chain import checkpoint_body, from_hex, parse_checkpoint
from services.domain.ledger_audit import AuditReport, audit_ledger
from services.domain.ledger_schema import read_envelope
from services.domain.ledger_texts import NEEDS_ERASURE
from services.evolution_ledger.proofs import Signer, checkpoint
from services.store import ledger
from services.store.tx import Tx

CLAIM: Final = frozenset({"kind", "origin", "size", "root", "note"})
BLOB: Final = frozenset({"kind", "sha256", "content"})
BLOB_BEGINS: Final = b'{"content":'
CUT: Final = "the file is cut"
NAMED: Final = re.compile(rb'_sha256":"([0-9a-f]{64})"')


def export_lines(tx: Tx, signer: Signer) -> Iterator[bytes]:
    """Yield the ledger as NDJSON: the checkpoint, every leaf (its exact bytes), every blob that one names."""
    yield canonical_bytes({"kind": "checkpoint", **checkpoint(tx, signer)}) + b"\n"
    named: set[bytes] = set()
    for leaf in ledger.leaves(tx):
        named.update(NAMED.findall(leaf))
        yield leaf + b"\n"
    for row in ledger.blobs(tx):
        if row["sha256"].encode() in named:
            content = base64.b64encode(bytes(row["content"])).decode()
            yield canonical_bytes({"kind": "blob", "sha256": row["sha256"], "content": content}) + b"\n"


@dataclass(slots=True)
class Export:
    """The parts of an export; `flaw` is the first departure from its form, in one sentence."""

    origin: str
    size: int
    root: bytes
    note: str
    leaves: list[bytes] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    flaw: str = ""


def read_export(lines: Iterable[bytes]) -> Export:
    """Return the parts of an export; raise InvalidValueError when its first line makes it none.

    Lines are as a binary file yields them, each with its line feed.
    """
    found: Export | None = None
    last = ""
    for number, line in enumerate(lines):
        raw = line.removesuffix(b"\n")
        if found is None:
            found = _claim(raw)
            continue
        if not line.endswith(b"\n"):
            found.flaw = found.flaw or f"line {number + 1} has no end: {CUT}"
        if not found.blobs and not last and not raw.startswith(BLOB_BEGINS):
            found.leaves.append(raw)
            continue
        last = _take_blob(found, raw, number + 1, last)
    if found is None:
        msg = "the file is empty"
        raise InvalidValueError(msg, field="file")
    return found


def verify_export(lines: Iterable[bytes], *, trusted_notes: Sequence[str] = ()) -> AuditReport:
    """Audit an export from its bytes alone; each of `trusted_notes` is a checkpoint that must be a prefix.

    A file that departs from the form of an export behind sound entries is refused too, at the place after
    them. Raises InvalidValueError when it is no export at all, ValueError for a note that is none.
    """
    return audit_export(read_export(lines), trusted_notes=trusted_notes)


def audit_export(found: Export, *, trusted_notes: Sequence[str] = ()) -> AuditReport:
    """Audit an export that was read; as `verify_export`."""
    trusted = [parse_checkpoint(note) for note in trusted_notes]
    report = audit_ledger(
        found.leaves,
        found.blobs,
        claimed=(found.size, found.root),
        trusted=[(size, root) for _, size, root in trusted],
        allow_erased=True,
    )
    if not report.ok:
        cut = _cut(found)
        return replace(report, reason=f"{report.reason} ({cut})") if cut else report
    begun = read_envelope(found.leaves[0])["payload"]["origin"] if found.leaves else found.origin
    others = {origin for origin in (found.origin, *(origin for origin, _, _ in trusted)) if origin != begun}
    if others:
        return replace(
            report,
            first_error_index=0,
            reason=f"the ledger begins as {begun!a}, a checkpoint is of {min(others)!a}",
        )
    flaw = found.flaw or _surplus(found, report.newest_format)
    return replace(report, first_error_index=report.size, reason=flaw) if flaw else report


def _cut(found: Export) -> str:
    """Return why the file may have been cut short, "" where nothing says so."""
    if len(found.leaves) < found.size:
        return f"the file may be cut: it holds {len(found.leaves)} of {found.size} entries"
    return found.flaw if found.flaw.endswith(CUT) else ""


def _claim(raw: bytes) -> Export:
    """Return the export that the first line begins."""
    try:
        first = _fields(raw, "checkpoint", CLAIM)
        found = Export(first["origin"], first["size"], from_hex(first["root"]), first["note"])
        body = checkpoint_body(found.origin, found.size, found.root).decode()
    except (TypeError, ValueError) as error:
        msg = f"the first line is no checkpoint with size and root ({error}); is this a ledger export?"
        raise InvalidValueError(msg, field="file") from error
    if not found.note.startswith(f"{body}\n\u2014 "):
        found.flaw = "the signed note speaks of another origin, or of another size or root, than its line"
    return found


def _take_blob(found: Export, raw: bytes, number: int, last: str) -> str:
    """Take one line of the part with blobs, or note the flaw; return the hash that the next must follow."""
    sha256, content, flaw = "", b"", ""
    try:
        row = _fields(raw, "blob", BLOB)
        sha256, content = from_hex(row["sha256"]).hex(), base64.b64decode(row["content"], validate=True)
        if base64.b64encode(content).decode() != row["content"]:
            flaw = "its base64 is not plain"
        elif sha256 <= last:
            flaw = "blobs stand once each, in the order of their hashes"
    except (ValueError, TypeError) as error:
        flaw = str(error)
    if not flaw and hashlib.sha256(content).hexdigest() != sha256:
        found.flaw = found.flaw or f"line {number} is not the blob it is called: its bytes have another hash"
    if flaw:
        found.flaw = found.flaw or f"line {number} is no blob that may stand there: {flaw}"
        return last or "0"
    found.blobs[sha256] = content
    return sha256


def _fields(raw: bytes, kind: str, names: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a line of this kind; ValueError for other fields or another spelling."""
    read = parse_canonical(raw)
    if not isinstance(read, dict) or read.keys() != names or read["kind"] != kind:
        msg = f"it is not a {kind} with the fields {', '.join(sorted(names))}"
        raise ValueError(msg)
    return read


def _surplus(found: Export, written_format: int) -> str:
    """Return what is wrong with a blob that no entry names; older ledgers kept records ahead of verdicts."""
    if written_format < NEEDS_ERASURE:
        return ""
    named = {sha256.decode() for leaf in found.leaves for sha256 in NAMED.findall(leaf)}
    surplus = found.blobs.keys() - named
    return f"no entry names the blob {min(surplus)[:12]}…" if surplus else ""
