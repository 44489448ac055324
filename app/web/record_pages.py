"""Pages of the record: the evolution ledger, and the clockwork (cron, dead letters, reviews).

Stand over the read models of the ledger and of layers 2 and 3. They never verify the ledger themselves:
`nacre ledger verify` does, from an exported file.
"""

from app.web.formats import between
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.ledger_schema import EntryType

ENTRY_TYPES = tuple(EntryType)
CRON_ROWS = 20
FAILED_ROWS = 100


# --- what the templates show -------------------------------------------------------------------------------


def tick_row(tick: Row) -> Row:
    """Return one run of a cron job with how long it took and how late it began."""
    return {
        **tick,
        "took": between(tick.get("started_at"), tick.get("ended_at")),
        "late": between(tick.get("due_at"), tick.get("started_at")),
    }


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


def operations(visit: Visit) -> Shown:
    """What failed and waits for somebody, cron runs, deliveries that failed for good, reviews."""
    ticks = [tick_row(tick) for tick in rows(visit.views.cron_history(visit.tx, limit=CRON_ROWS))]
    jobs = [tick_row(tick) for tick in rows(visit.views.latest_ticks(visit.tx))]
    return Shown(
        "operations.html",
        {
            "failed": rows(visit.views.list_failed_work(visit.tx, limit=FAILED_ROWS)),
            "jobs": jobs,
            "ticks": ticks,
            "dead": rows(visit.views.list_dead_letters(visit.tx)),
            "reviews": rows(visit.views.list_review_items(visit.tx)),
        },
    )
