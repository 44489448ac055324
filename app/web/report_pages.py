"""The page of reports: which there are to ask for, and the schedules with their last delivery.

Stands over the read models; the reports themselves are answered by `app.reports.serving`. It only reads.
"""

from datetime import timedelta

from app.periods import days_of
from app.web.visits import Shown, Visit, rows
from services.domain.clock import from_rfc3339, to_datetime

LAPS_SHOWN = 20
FORMATS = ("html", "pdf", "md", "csv", "json")


def reports(visit: Visit) -> Shown:
    """Spans and laps to choose from, and what is made by itself."""
    today = to_datetime(from_rfc3339(visit.now()))
    yesterday, week_ago = today - timedelta(days=1), today - timedelta(days=7)
    month_end = today.replace(day=1) - timedelta(days=1)
    spans = (
        ("yesterday", yesterday, yesterday),
        ("the last 7 days", week_ago, yesterday),
        ("last month", month_end.replace(day=1), month_end),
    )
    return Shown(
        "reports.html",
        {
            "laps": rows(visit.views.list_laps(visit.tx, limit=LAPS_SHOWN)),
            "formats": FORMATS,
            "spans": [
                ("today so far", f"{today:%Y-%m-%d}", f"{today:%Y-%m-%dT%H:%M:%SZ}"),
                *((name, f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") for name, first, last in spans),
            ],
            "from": f"{week_ago:%Y-%m-%d}",
            "to": f"{yesterday:%Y-%m-%d}",
            "schedules": [
                {**one, "made_for": days_of(one["last_delivery"])}
                for one in rows(visit.views.list_report_schedules(visit.tx))
            ],
        },
    )
