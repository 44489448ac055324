"""The config at any size of the ledger, or at any instant: the fold of the entries up to there.

Stands over the record of changes. What it answers is computed from the entries alone, each held to its hashes
of the config before and after; the values in force are never asked. It never changes anything.
"""

from typing import Any

from services.domain.clock import to_rfc3339
from services.domain.errors import InvalidValueError, LedgerBrokenError, NotFoundError
from services.domain.ledger_config import fold_config
from services.domain.ledger_history import CausalityError, config_hash
from services.evolution_ledger.proofs import head
from services.store import ledger, sql, tables
from services.store.tx import Tx


def config_at(tx: Tx, size: int | None = None, at_us: int | None = None) -> dict[str, Any]:
    """Return the config after the first `size` entries, or after those up to `at_us`; of all by default.

    The answer holds `size`, `at` (RFC 3339, of the last entry), `config` and `config_sha256`. Raises
    InvalidValueError for both, or a size beyond the ledger; NotFoundError for an instant before its first
    entry; LedgerBrokenError where the entries do not add up.
    """
    if size is not None and at_us is not None:
        msg = "say either size or at, not both: each of them names one state of the ledger"
        raise InvalidValueError(msg, field="at", code="size_or_at")
    newest = int(head(tx)["size"])
    if at_us is not None:
        size = ledger.size_at(tx, at_us)
        if size == 0:
            msg = f"the ledger had not begun at {to_rfc3339(at_us)}"
            raise NotFoundError(msg, field="at")
    total = newest if size is None else size
    if not 1 <= total <= newest:
        msg = f"size must be 1 to {newest}, not {total}"
        raise InvalidValueError(msg, field="size")
    try:
        config = fold_config(ledger.config_leaves(tx, total))
    except CausalityError as error:
        msg = f"the entries do not add up to a config: {error}"
        raise LedgerBrokenError(msg) from error
    last = sql.find(tx, tables.ledger_entry, index=total - 1)
    if last is None:
        msg = f"entry {total - 1} is missing"
        raise LedgerBrokenError(msg)
    return {
        "size": total,
        "at": to_rfc3339(last["at_us"]),
        "config": config,
        "config_sha256": config_hash(config),
    }
