"""Some leaves and single blobs of the ledger as it stands: what an audit of the live ledger reads as it goes.

Stands under layer 7, beside the queries of the whole ledger. It never writes.
"""

from typing import Final

from sqlalchemy import bindparam, select

from services.domain.ledger_schema import EntryType
from services.store import sql
from services.store.tables import blob, ledger_entry
from services.store.tx import Tx

LEAVES_FROM: Final = (
    select(ledger_entry.c.leaf)
    .where(ledger_entry.c.index >= bindparam("first_index"))
    .order_by(ledger_entry.c.index)
    .limit(bindparam("most_rows"))
)


def leaves_from(tx: Tx, index: int, limit: int) -> list[bytes]:
    """Return so many leaves from an index on, in order, whatever the head says."""
    return [bytes(row["leaf"]) for row in sql.listed(tx, LEAVES_FROM, first_index=index, most_rows=limit)]


def leaves_of(tx: Tx, kind: EntryType) -> list[bytes]:
    """Return the leaves of one type of entry."""
    return [bytes(row["leaf"]) for row in sql.find_all(tx, ledger_entry, order_by="index", type=kind)]


def blob_content(tx: Tx, sha256: str) -> bytes | None:
    """Return the content of a blob that is kept, None for one that is not or was erased."""
    row = sql.find(tx, blob, sha256=sha256)
    return None if row is None or row["erased_at_us"] is not None else bytes(row["content"])
