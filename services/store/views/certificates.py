"""What a certificate is made of, as it is kept: an experiment's entries, the stream's before it, its wealth.

Stands in the store under the certificate that layer 7 writes. It never proves, replays or signs anything.
"""

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import select

from services.domain.ledger_schema import EntryType
from services.store.sql import Row, rows
from services.store.tables import exposure, ledger_entry
from services.store.tx import Tx

OF_EXPERIMENTS = (
    EntryType.EXPERIMENT_STARTED,
    EntryType.PLACEBO_STARTED,
    EntryType.VERDICT,
    EntryType.PLACEBO_VERDICT,
    EntryType.PROMOTED,
    EntryType.REFUSED,
    EntryType.PROBATION_STARTED,
    EntryType.CONFIRMED,
    EntryType.ROLLED_BACK,
)
"""Types of entries that belong to one experiment."""

_SHOWN = (ledger_entry.c.index, ledger_entry.c.leaf)


def entries_of_experiment(tx: Tx, experiment_id: int, lap_id: int | None) -> list[Row]:
    """Return index and leaf of every entry about an experiment of a lap, in order."""
    statement = (
        select(*_SHOWN)
        .where(
            ledger_entry.c.type.in_([str(kind) for kind in OF_EXPERIMENTS]),
            ledger_entry.c.lap_id.is_(None) if lap_id is None else ledger_entry.c.lap_id == lap_id,
        )
        .order_by(ledger_entry.c.index)
    )
    return [
        row
        for row in rows(tx, statement)
        if json.loads(row["leaf"])["payload"].get("experiment_id") == experiment_id
    ]


def stream_before(tx: Tx, index: int) -> list[Row]:
    """Return the confirmations before an entry, and for each the starts of experiments around it."""
    kinds = (EntryType.CONFIRMED, EntryType.EXPERIMENT_STARTED)
    statement = (
        select(ledger_entry.c.index, ledger_entry.c.type)
        .where(ledger_entry.c.type.in_([str(kind) for kind in kinds]), ledger_entry.c.index < index)
        .order_by(ledger_entry.c.index)
    )
    chosen = _around([(row["index"], row["type"]) for row in rows(tx, statement)])
    return rows(tx, select(*_SHOWN).where(ledger_entry.c.index.in_(chosen)).order_by(ledger_entry.c.index))


def _around(found: Sequence[tuple[int, str]]) -> list[int]:
    """Return the indexes of confirmations, of the last start before each, and of the first one after it."""
    chosen: set[int] = set()
    before: int | None = None
    is_wanted = False
    for index, kind in found:
        if kind == EntryType.CONFIRMED:
            chosen |= {index} if before is None else {index, before}
            is_wanted = True
            continue
        if is_wanted:
            chosen.add(index)
        before, is_wanted = index, False
    return sorted(chosen)


def wealth_of_units(tx: Tx, experiment_id: int, ordinals: range) -> list[float]:
    """Return log E after each unit that a leg counted, in the order of the units' first assignment."""
    statement = (
        select(exposure.c.unit, exposure.c.log_e)
        .where(
            exposure.c.experiment_id == experiment_id,
            exposure.c.is_folded,
            exposure.c.ordinal >= ordinals.start,
            exposure.c.ordinal < ordinals.stop,
        )
        .order_by(exposure.c.ordinal)
    )
    return list(_first_of_units(rows(tx, statement)).values())


def _first_of_units(found: Iterable[Row]) -> dict[str, float]:
    wealth: dict[str, float] = {}
    for row in found:
        wealth.setdefault(row["unit"], float(row["log_e"]))
    return wealth
