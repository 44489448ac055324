"""The whole offline audit over the live ledger, and the chain's end before something is promoted.

Stands beside the export: the same audit, reading leaves and blobs from the database as it goes, so that
memory stays bounded. A ledger that fails is said to fail and holds every promotion; it never mends anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, overload

from services.domain.checks import Layer, Status
from services.domain.hash_chain import Frontier
from services.domain.ledger_audit import AuditReport, audit_ledger
from services.operations import health, ledger_chain, production_config, review_queue
from services.store import config, invariants, ledger, ledger_live
from services.store import health as queries
from services.store.tx import Tx

COMPONENT: Final = "ledger"
FULL_AUDIT: Final = "full_audit"
GUARD: Final = "promotion_guard"
BROKEN: Final = "ledger_broken"
"""The kind of review item about a ledger that does not verify."""
NEXT_STEP: Final = "nothing is promoted until it does"


class _Leaves(Sequence[bytes]):
    """The leaves of the ledger, read a page at a time."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._count = ledger_live.count(tx)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return ledger.leaves(self._tx)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._count))]
        found = ledger_live.leaf_at(self._tx, index)
        if found is None:
            raise IndexError(index)
        return found


class _Blobs(Mapping[str, bytes]):
    """The blobs that are kept, each read when it is asked for."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def __getitem__(self, sha256: str) -> bytes:
        found = ledger_live.blob_content(self._tx, sha256)
        if found is None:
            raise KeyError(sha256)
        return found

    def __iter__(self) -> Iterator[str]:
        return (row["sha256"] for row in ledger.blobs(self._tx))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def audit_live(tx: Tx) -> AuditReport:
    """Audit the ledger that is in the database against its own head, as a stranger audits an export."""
    size, root = ledger_chain.head_of(tx)
    return audit_ledger(_Leaves(tx), _Blobs(tx), claimed=(size, root), allow_erased=True)


def audit_by_the_clock(tx: Tx) -> dict[str, object]:
    """Run the whole audit and report what it found to the health; return size and the first error, if any."""
    invariants.hold_snapshot(tx)
    report = audit_live(tx)
    fault = None if report.ok else said(report.first_error_index, report.reason)
    _tell(tx, FULL_AUDIT, fault, float(report.size))
    return {"entries": report.size, "first_error": report.first_error_index, "reason": report.reason or None}


def guard(tx: Tx) -> str | None:
    """Return why the ledger cannot be built on now, or None; report it to the health.

    Verifies the chain from where it was last verified to its head, and holds the config in force to the
    ledger's last word on it. Remembers how far it came, so that the cost is that of the new entries.
    """
    marks = queries.peek_marks(tx, GUARD)
    kept = Frontier(int(marks.get("size", 0)), tuple(bytes.fromhex(node) for node in marks.get("hashes", ())))
    found = ledger_chain.verify_on(tx, kept)
    fault = None if found.wrong is None else said(found.index, found.wrong)
    if fault is None:
        recorded = config.last_recorded_hash(tx)
        if recorded is not None and recorded != production_config.config_hash(production_config.snapshot(tx)):
            fault = (
                f"the config in force is not the one that the ledger's last change left behind; {NEXT_STEP}"
            )
    if found.wrong is None and found.frontier.size != kept.size:
        nodes = [node.hex() for node in found.frontier.hashes]
        queries.keep_marks(tx, GUARD, {"size": found.frontier.size, "hashes": nodes}, is_first=not marks)
    _tell(tx, GUARD, fault, float(found.frontier.size))
    return fault


def fault_told(tx: Tx) -> str | None:
    """Return what a check of the ledger last said that fails, as a sentence; None while none fails."""
    told = {row["measurement"]: row["output"] for row in queries.failing_of(tx, COMPONENT)}
    found = next((told[name] for name in (GUARD, FULL_AUDIT) if name in told), None)
    if found is None and told:
        found = f"the ledger does not verify: {next(iter(told.values()))}; {NEXT_STEP}"
    return found


def said(index: int | None, reason: str) -> str:
    """Return the sentence that every surface shows of a ledger that fails."""
    return f"the ledger does not verify from entry {index}: {reason}; {NEXT_STEP}"


def _tell(tx: Tx, measurement: str, fault: str | None, size: float) -> None:
    """Report a check of the ledger; for a fault a review item is opened, once."""
    status = Status.PASS if fault is None else Status.FAIL
    health.report(
        tx, Layer.CORRECT, COMPONENT, measurement, status, observed=size, unit="entries", output=fault
    )
    if fault is None:
        return
    known = invariants.items_about(tx, BROKEN, [COMPONENT])
    if not any(row["closed_at_us"] is None for row in known):
        context: dict[str, Any] = {"check": f"{COMPONENT}:{measurement}", "reason": fault[:500]}
        review_queue.open_item(tx, kind=BROKEN, subject=COMPONENT, context=context)
