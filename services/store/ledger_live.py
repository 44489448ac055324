"""Single leaves and blobs of the ledger as it stands: what an audit of the live ledger reads as it goes.

Stands under layer 7, beside the queries of the whole ledger. It never writes.
"""

from sqlalchemy import func, select

from services.store import sql
from services.store.tables import blob, ledger_entry
from services.store.tx import Tx


def count(tx: Tx) -> int:
    """Return how many entries there are, whatever the head says."""
    return int(sql.value(tx, select(func.count()).select_from(ledger_entry)) or 0)


def leaf_at(tx: Tx, index: int) -> bytes | None:
    """Return the leaf of an entry, or None where there is none."""
    row = sql.find(tx, ledger_entry, index=index)
    return None if row is None else bytes(row["leaf"])


def blob_content(tx: Tx, sha256: str) -> bytes | None:
    """Return the content of a blob that is kept, None for one that is not or was erased."""
    row = sql.find(tx, blob, sha256=sha256)
    return None if row is None or row["erased_at_us"] is not None else bytes(row["content"])
