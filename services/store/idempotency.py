"""Queries of the recorded answers: what was answered under which key of whom.

Stands under the one way a write happens over HTTP. A whole group of keys is looked up and recorded at once.
It never decides whether a request is the same.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Select, select

from services.store import rowsets, sql
from services.store.sql import Row
from services.store.tables import idempotency
from services.store.tx import Tx

Place: TypeAlias = tuple[str, str]
"""Whose key it is (the principal), and the key."""

KEY = ("principal", "key")


def recorded(tx: Tx, places: Sequence[Place]) -> dict[Place, Row]:
    """Return the recorded answers among these keys, in one round trip."""
    if not tx.is_postgresql:
        found = {place: sql.find(tx, idempotency, principal=place[0], key=place[1]) for place in places}
        return {place: row for place, row in found.items() if row is not None}
    asked = [dict(zip(KEY, place, strict=True)) for place in places]
    given = rowsets.folded(tx.connection.dialect, idempotency, KEY, asked)
    return {(row["principal"], row["key"]): row for row in sql.listed(tx, _among_given(), **given)}


def record(tx: Tx, answers: Sequence[Mapping[str, object]]) -> bool:
    """Record answers (principal, key, request_hash, status, body); False when one of the keys was taken.

    A key that another transaction is just recording is waited for.
    """
    rows = [{**answer, "created_at_us": tx.now_us} for answer in answers]
    return all(sql.insert_many_unique(tx, idempotency, rows, KEY))


@lru_cache(maxsize=1)
def _among_given() -> Select[*tuple[Any, ...]]:
    relation = rowsets.given(idempotency, KEY)
    return select(idempotency).join(
        relation,
        (idempotency.c.principal == relation.c.principal) & (idempotency.c.key == relation.c.key),
    )
