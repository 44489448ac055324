"""Pages of the record: the evolution ledger and its entries.

Stand over the read models of the ledger. They never verify the ledger themselves:
`nacre ledger verify` does, from an exported file.
"""

from app.web.visits import Shown, Visit, next_link, rows
from services.domain.ledger_schema import EntryType

ENTRY_TYPES = tuple(EntryType)


# --- what the templates show -------------------------------------------------------------------------------


def lap_asked(text: str | None) -> int | None:
    """Return the lap a query asks for, or None when it is not a number that a lap could have."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None  # noqa: PLR2004 (fits 63 bits)


# --- the pages ---------------------------------------------------------------------------------------------


def ledger(visit: Visit) -> Shown:
    """Entries of the ledger, newest first unless asked for oldest, with its size and root."""
    entry_type = visit.chosen("type", ENTRY_TYPES)
    lap, oldest = lap_asked(visit.query.get("lap")), visit.query.get("order") == "oldest"
    page = visit.views.list_entries(visit.tx, type=entry_type, lap=lap, oldest_first=oldest, **visit.window())
    pulse = visit.views.pulse(visit.tx)
    return Shown(
        "ledger.html",
        {
            "entries": rows(page),
            "next": next_link(visit, page),
            "type": entry_type,
            "lap": lap,
            "types": ENTRY_TYPES,
            "oldest": oldest,
            "size": pulse["ledger_size"],
            "root": pulse["ledger_root"],
        },
    )


def entry(visit: Visit) -> Shown | None:
    """One entry of the ledger as it was hashed."""
    number = visit.identity()
    found = visit.views.get_entry(visit.tx, number) if number is not None else None
    return Shown("entry.html", {"entry": found}) if found else None
