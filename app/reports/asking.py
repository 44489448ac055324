"""What somebody asks for, as a report: a lap, or a period given as days or instants.

Stands between the edges (API, pages, command line, schedules) and the model. It never guesses a date.
"""

from app.periods import DAY_LENGTH, instant_of
from app.reports import source
from services.domain.clock import DAY_US
from services.domain.errors import InvalidValueError
from services.domain.report_calendar import check_period
from services.domain.report_lap import lap_report
from services.domain.report_model import Report
from services.domain.report_period import period_report
from services.store.tx import Tx


def asked_period(start: str, end: str, now_us: int | None, *, place: str = "") -> tuple[int, int]:
    """Return [from, to) of two texts; a day given as the end is included.

    Raises InvalidValueError naming `from` or `to` (after `place`) for what is no date, an empty or too long
    period, or one that ends after `now_us`.
    """
    from_us, to_us = instant_of(start, f"{place}from"), instant_of(end, f"{place}to")
    if from_us is None or to_us is None:
        raise InvalidValueError("from and to are needed", field=f"{place}from")
    if len(end) == DAY_LENGTH:
        to_us += DAY_US
    check_period(from_us, to_us, now_us, place)
    return from_us, to_us


def lap_from_database(tx: Tx, lap_id: int) -> Report:
    """Return the report of a lap; NotFoundError when the ledger knows no such lap."""
    return lap_report(source.of_database(tx), lap_id)


def period_from_database(tx: Tx, from_us: int, to_us: int) -> Report:
    """Return the report of [from, to)."""
    return period_report(source.of_database(tx), from_us, to_us)
