"""Where a report's ledger comes from: the platform's own database, or an export that is verified first.

Both give the same record, so both give the same report. It never trusts an export that does not verify, and
never shows a blob whose bytes are not what its name says.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services import evolution_ledger
from services.domain.clock import from_rfc3339
from services.domain.errors import InvalidValueError, LedgerBrokenError
from services.domain.hash_chain import leaf_hash
from services.domain.ledger_schema import Entry, EntryType
from services.domain.report_model import LedgerRecord, Report
from services.store import deployment, ledger
from services.store.tx import Tx


def of_database(tx: Tx) -> LedgerRecord:
    """Return the record of the whole ledger as this transaction sees it; NotFoundError before it begins."""
    head = evolution_ledger.head(tx)
    leaves = list(ledger.leaves(tx))
    hashes = [leaf_hash(leaf).hex() for leaf in leaves]
    blobs = {row["sha256"]: bytes(row["content"]) for row in ledger.blobs(tx)}
    return LedgerRecord(deployment.origin(tx, ""), decoded(leaves), hashes, head["root"], blobs)


def of_export(lines: Sequence[bytes]) -> tuple[LedgerRecord, str]:
    """Return the record of an export and how it was verified, in words.

    Raises InvalidValueError when the file is no export, LedgerBrokenError naming the first wrong entry.
    """
    try:
        found = evolution_ledger.verify_export(lines)
    except (RecursionError, ValueError) as error:
        msg = f"the file is no ledger export: {error}"
        raise InvalidValueError(msg, field="ledger", code="not_an_export") from error
    if not found.ok:
        msg = f"the export does not verify: entry {found.first_error_index}: {found.reason}"
        raise LedgerBrokenError(msg, field="ledger")
    leaves, blobs = _parted(lines[1:])
    origin = str(json.loads(lines[0]).get("origin", ""))
    hashes = [leaf_hash(leaf).hex() for leaf in leaves]
    record = LedgerRecord(origin, decoded(leaves), hashes, found.root_hex, blobs)
    return record, f"verified offline: {found.size} entries, root {found.root_hex}"


def decoded(leaves: Iterable[bytes]) -> list[Entry]:
    """Return leaves that were checked before as entries."""
    return [_entry(leaf) for leaf in leaves]


def _entry(leaf: bytes) -> Entry:
    told = json.loads(leaf)
    return Entry(
        told["index"],
        from_rfc3339(told["at"]),
        EntryType(told["type"]),
        told["actor"],
        told["lap"],
        told["previous_root"],
        told["payload"],
    )


def _parted(lines: Iterable[bytes]) -> tuple[list[bytes], dict[str, bytes]]:
    leaves: list[bytes] = []
    blobs: dict[str, bytes] = {}
    for line in lines:
        raw = line.rstrip(b"\n")
        if raw.startswith(b'{"content":'):
            row = json.loads(raw)
            blobs[str(row["sha256"])] = base64.b64decode(row["content"])
        elif raw:
            leaves.append(raw)
    return leaves, blobs


def with_verification(report: Report, verification: str) -> Report:
    """Return a report that says how its ledger was checked."""
    return replace(report, verification=verification)
