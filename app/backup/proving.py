"""What a restore proves before anybody may use it: the rows, the ledger, the config, the money, the triggers.

Stands between the loaded tables and the moment they become a database. It never mends what it finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from app.backup import content
from app.backup.manifest import Manifest
from services import evolution_ledger
from services.domain.errors import NotFoundError
from services.operations import production_config, watchdog
from services.store import copying, health
from services.store.copying import Shape
from services.store.tx import Tx
from services.store.views.money_audit import audit_money

BREACHES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that was looked at: whether it holds, and what was found, as a sentence."""

    name: str
    ok: bool
    says: str


def prove_rows(tx: Tx, manifest: Manifest) -> Proof:
    """Read every table back and hold it to the hash that the manifest gives of it."""
    keys = {shape.name: shape.key for shape in copying.shapes(tx)}
    wrong = [
        table.name
        for table in manifest.tables
        if content.part_of(tx, Shape(table.name, tuple(table.columns), keys[table.name])) != table.part
    ]
    broken = copying.broken_references(tx)
    if wrong or broken:
        told = f"read back otherwise: {', '.join(wrong)}" if wrong else f"{broken} references lead nowhere"
        return Proof("rows", ok=False, says=told)
    said = f"{manifest.rows:,} rows of {len(manifest.tables)} tables read back as they were"
    return Proof("rows", ok=True, says=said)


def prove(tx: Tx, manifest: Manifest) -> list[Proof]:
    """Look at everything that the rows must add up to; the schema is the newest."""
    try:
        evolution_ledger.head(tx)
    except NotFoundError:
        return [Proof("ledger", ok=manifest.ledger is None, says="it has not begun")]
    return [*_prove_ledger(tx, manifest), *_prove_books(tx)]


def _prove_ledger(tx: Tx, manifest: Manifest) -> Sequence[Proof]:
    head = evolution_ledger.head(tx)
    report = evolution_ledger.audit_live(tx)
    told = f"the offline audit of {report.size} entries found nothing wrong"
    audited = Proof(
        "ledger", report.ok, told if report.ok else f"entry {report.first_error_index}: {report.reason}"
    )
    expected = manifest.ledger
    is_head = expected is not None and (head["size"], head["root"]) == (expected.size, expected.root)
    said = f"{head['size']} entries, root {head['root']}"
    live = production_config.snapshot(tx)
    differing = sorted(
        name for name in live.keys() | report.config.keys() if live.get(name) != report.config.get(name)
    )
    config = f"{len(live)} values in force are those that the entries add up to"
    return [
        audited,
        Proof("head", is_head, said if is_head else f"{said}: not that of the manifest"),
        Proof(
            "config",
            not differing,
            f"not as the ledger says: {', '.join(differing[:5])}" if differing else config,
        ),
        Proof(
            "triggers",
            copying.refuses_change(tx, content.LEDGER),
            "entries can be neither changed nor deleted",
        ),
    ]


def _prove_books(tx: Tx) -> Sequence[Proof]:
    """Recount money and market, as of the last instant at which the platform recorded anything."""
    last_us = health.newest_instant(tx)
    audit = audit_money(tx)
    wrong = [one["invariant"] for one in audit["checks"] if not one["ok"]]
    money = "money that does not add up: " + ", ".join(wrong) if wrong else "every sum of money adds up"
    found = list(islice(watchdog.check_all(tx, seen_at_us=last_us), BREACHES_SHOWN))
    market = "; ".join(map(str, found)) if found else "every invariant of the market holds"
    return [Proof("money", not wrong, money), Proof("market", not found, market)]
