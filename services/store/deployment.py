"""Facts of this deployment that are decided once: the ledger's origin.

Stands under the start of the platform. It never changes a fact that is there.
"""

from services.store import sql
from services.store.tables import deployment
from services.store.tx import Tx

ORIGIN = "origin"


def origin(tx: Tx, fresh: str) -> str:
    """Return the ledger's origin, which is `fresh` the first time."""
    row = sql.find(tx, deployment, key=ORIGIN)
    if row is not None:
        return str(row["value"])
    sql.insert(tx, deployment, key=ORIGIN, value=fresh)
    return fresh
