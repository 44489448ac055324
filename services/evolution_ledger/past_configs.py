"""The config at any size of the ledger, or at any instant: the fold of the entries up to there.

Stands over the record of changes. What it answers is computed from the entries alone, each held to its hashes
of the config before and after; the values in force are never asked. It never changes anything.
"""

from collections.abc import Iterable
from typing import Any

from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.ledger_config import fold_config
from services.domain.ledger_history import CausalityError, config_hash
from services.domain.ledger_schema import read_envelope
from services.evolution_ledger.exports import audit_export, read_export
from services.evolution_ledger.proofs import head
from services.store import ledger, sql, tables
from services.store.tx import Tx


def config_at(tx: Tx, size: int | None = None, at_us: int | None = None) -> dict[str, Any]:
    """Return the config after the first `size` entries, or after those up to `at_us`; of all by default.

    The answer holds `size`, `at` (RFC 3339, of the last entry), `config` and `config_sha256`. Raises
    InvalidValueError for both, or a size beyond the ledger; NotFoundError for an instant before its first
    entry; LedgerBrokenError where the entries do not add up.
    """
    _check_one_asked(size, at_us)
    newest = int(head(tx)["size"])
    total = _checked(size if at_us is None else ledger.size_at(tx, at_us), at_us, newest)
    try:
        config = fold_config(ledger.config_leaves(tx, total))
    except CausalityError as error:
        msg = f"the entries do not add up to a config: {error}"
        raise LedgerBrokenError(msg) from error
    last = sql.find(tx, tables.ledger_entry, index=total - 1)
    if last is None:
        msg = f"entry {total - 1} is missing"
        raise LedgerBrokenError(msg)
    return _told(total, to_rfc3339(last["at_us"]), config)


def config_of_export(lines: Iterable[bytes], size: int | None, at_us: int | None) -> dict[str, Any]:
    """Return the same from an export's lines alone, all of which are verified first; as `config_at`.

    Raises LedgerBrokenError naming the first entry that is wrong.
    """
    _check_one_asked(size, at_us)
    found = read_export(lines)
    report = audit_export(found)
    if not report.ok:
        msg = f"entry {report.first_error_index}: {report.reason}"
        raise LedgerBrokenError(msg)
    leaves = found.leaves
    if at_us is not None:
        until = to_rfc3339(at_us)  # one fixed-width form, so text order is time order
        size = sum(read_envelope(leaf)["at"] <= until for leaf in leaves)
    total = _checked(size, at_us, len(leaves))
    return _told(total, read_envelope(leaves[total - 1])["at"], fold_config(leaves[:total]))


def _check_one_asked(size: int | None, at_us: int | None) -> None:
    if size is not None and at_us is not None:
        msg = "say either size or at, not both: each of them names one state of the ledger"
        raise InvalidValueError(msg, field="at", code="size_or_at")


def _checked(size: int | None, at_us: int | None, newest: int) -> int:
    if at_us is not None and size == 0:
        msg = f"the ledger had not begun at {to_rfc3339(at_us)}"
        raise NotFoundError(msg, field="at")
    total = newest if size is None else size
    if not 1 <= total <= newest:
        msg = f"size must be 1 to {newest}, not {total}"
        raise InvalidValueError(msg, field="size")
    return total


def _told(size: int, at: str, config: dict[str, str]) -> dict[str, Any]:
    return {"size": size, "at": at, "config": config, "config_sha256": config_hash(config)}
