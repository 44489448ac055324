"""The whole offline audit over the live ledger, and the chain's end before something is promoted.

Stands beside the export: the same audit, reading leaves and blobs from the database as it goes, by the clock
a part in each transaction. A ledger that fails is said to fail and holds every promotion; it never mends it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.domain.checks import Layer, Status
from services.domain.clock import DAY_US
from services.domain.hash_chain import Frontier
from services.domain.ledger_audit import AuditReport, Checkpoint, LedgerAudit
from services.domain.ledger_schema import EntryType
from services.domain.ledger_texts import erased_by
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
PART: Final = 1_000
"""So many entries at most are audited in one transaction."""


class _Blobs(Mapping[str, bytes]):
    """The blobs that are kept, each read when it is asked for in the transaction of the moment."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx

    def __getitem__(self, sha256: str) -> bytes:
        found = ledger_live.blob_content(self.tx, sha256)
        if found is None:
            raise KeyError(sha256)
        return found

    def __iter__(self) -> Iterator[str]:
        return (row["sha256"] for row in ledger.blobs(self.tx))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Erased:
    """Where ERASED entries name a hash last; they are read when a part first lacks a blob."""

    def __init__(self, tx: Tx) -> None:
        self._found: dict[str, int] | None = None
        self._tx = tx

    def look_in(self, tx: Tx) -> None:
        """Read them anew, in this transaction, when they are asked for next."""
        self._tx, self._found = tx, None

    def last(self, sha256: str) -> int:
        """Return the index of the last entry that erases a hash, -1 for none."""
        if self._found is None:
            self._found = erased_by(ledger_live.leaves_of(self._tx, EntryType.ERASED))
        return self._found.get(sha256, -1)


class _Pass:
    """One way through the ledger in the database, from entry 0 on, over several transactions."""

    def __init__(self, tx: Tx, known: Checkpoint | None) -> None:
        self.begun_at_us = tx.now_us
        self.has_ended = False
        self._blobs = _Blobs(tx)
        self._erased = _Erased(tx)
        trusted = [] if known is None else [("audit before", *known)]
        self.audit = LedgerAudit(self._blobs, self._erased.last, known=trusted, allow_erased=True)

    def go_on_in(self, tx: Tx) -> None:
        """Read from now on in this transaction."""
        self._blobs.tx = tx
        self._erased.look_in(tx)


class Auditor:
    """What one process remembers of its audit of the live ledger, from one run to the next.

    `take_part` goes on where the run before it stopped. Once it has reached the head, later runs take what
    is new, and the first run of a UTC day begins at entry 0 again, as does the first run of a process and
    the one after an error. What was once audited must stay the beginning of the ledger.
    """

    def __init__(self) -> None:
        self._pass: _Pass | None = None
        self._audited: Checkpoint | None = None

    def take_part(self, tx: Tx) -> int:
        """Audit the next `PART` entries, tell the health what was found, and return how many there were.

        0 says that there is nothing left to do now: the head is reached, or an entry is wrong.
        """
        invariants.hold_snapshot(tx)
        told = queries.check_of(tx, Layer.CORRECT, COMPONENT, FULL_AUDIT)
        failed_at_us = told["checked_at_us"] if told is not None and told["status"] == Status.FAIL else None
        going, self._pass = self._pass, None  # what breaks off here is not gone on with
        if going is None or _is_over(going, tx.now_us, failed_at_us):
            going = _Pass(tx, self._audited)
        going.go_on_in(tx)
        leaves = ledger_live.leaves_from(tx, going.audit.taken, PART)
        if going.audit.feed(leaves) and len(leaves) == PART:
            if failed_at_us is None:
                _tell(tx, FULL_AUDIT, None, float(going.audit.taken), "so far; it goes on from there")
            self._pass = going
            return PART
        head = ledger_chain.head_of(tx)
        report = going.audit.report(head, "head")
        fault = None if report.ok else said(report.first_error_index, report.reason)
        _tell(tx, FULL_AUDIT, fault, float(report.size))
        if fault is not None:
            return 0
        going.has_ended = True
        self._pass, self._audited = going, Checkpoint(*head)
        return len(leaves)


def _is_over(going: _Pass, now_us: int, failed_at_us: int | None) -> bool:
    """Tell whether a new pass is due: one that ended on an earlier day, or began before an error was told."""
    is_of_today = going.begun_at_us // DAY_US == now_us // DAY_US
    return (going.has_ended and not is_of_today) or (
        failed_at_us is not None and failed_at_us > going.begun_at_us
    )


def audit_by_the_clock(tx: Tx, auditor: Auditor) -> dict[str, int]:
    """Audit the next part of the ledger and tell the health; return how many entries it had."""
    return {"entries": auditor.take_part(tx)}


def audit_live(tx: Tx) -> AuditReport:
    """Audit the ledger that is in the database against its own head, as a stranger audits an export."""
    audit = _Pass(tx, None).audit
    audit.feed(ledger.leaves(tx))
    return audit.report(ledger_chain.head_of(tx), "head")


def guard(tx: Tx) -> str | None:
    """Return why the ledger cannot be built on now, or None; report it to the health.

    Verifies the chain from where it was last verified to its head, and holds the config in force to the
    ledger's last word on it. Remembers how far it came, so that the cost is that of the new entries.
    """
    marks = queries.peek_marks(tx, GUARD)
    kept = Frontier(int(marks.get("size", 0)), tuple(bytes.fromhex(node) for node in marks.get("hashes", ())))
    found = ledger_chain.verify_on(tx, kept)
    fault = None if found.wrong is None else said(found.index, found.wrong)
    recorded = marks.get("recorded")
    if fault is None:
        recorded = config.last_recorded_hash(tx, 0 if recorded is None else kept.size) or recorded
        if recorded is not None and recorded != production_config.config_hash(production_config.snapshot(tx)):
            fault = (
                f"the config in force is not the one that the ledger's last change left behind; {NEXT_STEP}"
            )
    if found.wrong is None:
        nodes = [node.hex() for node in found.frontier.hashes]
        reached = {"size": found.frontier.size, "hashes": nodes, "recorded": recorded}
        if reached != marks:
            queries.keep_marks(tx, GUARD, reached, is_first=not marks)
    if fault is not None or GUARD in _failing(tx):  # it is asked for, not run by the clock: no pass to age
        _tell(tx, GUARD, fault, float(found.frontier.size))
    return fault


def fault_told(tx: Tx) -> str | None:
    """Return what a check of the ledger last said that fails, as a sentence; None while none fails."""
    told = _failing(tx)
    found = next((told[name] for name in (GUARD, FULL_AUDIT) if name in told), None)
    if found is None and told:
        found = f"the ledger does not verify: {next(iter(told.values()))}; {NEXT_STEP}"
    return found


def _failing(tx: Tx) -> dict[str, str]:
    """Return what each failing check of the ledger says, by measurement."""
    return {row["measurement"]: row["output"] for row in queries.failing_of(tx, COMPONENT)}


def said(index: int | None, reason: str) -> str:
    """Return the sentence that every surface shows of a ledger that fails."""
    return f"the ledger does not verify from entry {index}: {reason}; {NEXT_STEP}"


def _tell(tx: Tx, measurement: str, fault: str | None, size: float, note: str | None = None) -> None:
    """Report a check of the ledger, a pass with its note; for a fault a review item is opened, once."""
    status = Status.PASS if fault is None else Status.FAIL
    output = note if fault is None else fault
    health.report(
        tx, Layer.CORRECT, COMPONENT, measurement, status, observed=size, unit="entries", output=output
    )
    if fault is None:
        return
    known = invariants.items_about(tx, BROKEN, [COMPONENT])
    if not any(row["closed_at_us"] is None for row in known):
        context: dict[str, Any] = {"check": f"{COMPONENT}:{measurement}", "reason": fault[:500]}
        review_queue.open_item(tx, kind=BROKEN, subject=COMPONENT, context=context)
