"""`nacre report …`: build a report from the database or from an export, and keep the schedules.

Stands over `app.reports`. From an export it reads that file alone. It never changes the ledger.
"""

import sys
from pathlib import Path

from app.cli.actions.opening import reading
from app.cli.actions.operating import OPERATOR, opened_platform
from app.cli.actions.screen import say_json, say_line, say_note, say_page
from app.periods import days_of
from app.reports import asking, source
from app.reports.delivering import deliver, write_whole
from app.reports.rendering import Format, rendered
from services.domain.errors import InvalidValueError
from services.domain.report_calendar import Every
from services.domain.report_lap import lap_report
from services.domain.report_model import LedgerRecord, Report
from services.domain.report_period import period_report
from services.operations import report_schedules
from services.store import views

COLUMNS = (
    "name", "every", "formats", "announced", "next_at", "last_made_for",
    "last_delivery.ledger_size", "last_error",
)  # fmt: skip


def write_lap(database: str | None, ledger: str | None, lap_id: int, form: str, output: str) -> int:
    """Write the report of a lap to a file or to standard output."""
    wanted = _format(form)
    if ledger is not None:
        record, verification = _export(ledger)
        return _write(_verified(lap_report(record, lap_id), verification), wanted, output)
    with reading(database) as tx:
        report = asking.lap_from_database(tx, lap_id)
    return _write(report, wanted, output)


def write_period(
    database: str | None, ledger: str | None, asked: tuple[str, str], form: str, output: str
) -> int:
    """Write the report of a period to a file or to standard output."""
    wanted = _format(form)
    if ledger is not None:
        from_us, to_us = asking.asked_period(*asked, None, place="--")
        record, verification = _export(ledger)
        _note_the_end(record, to_us)
        return _write(_verified(period_report(record, from_us, to_us), verification), wanted, output)
    with reading(database) as tx:
        from_us, to_us = asking.asked_period(*asked, tx.now_us, place="--")
        report = asking.period_from_database(tx, from_us, to_us)
    return _write(report, wanted, output)


def _note_the_end(record: LedgerRecord, to_us: int) -> None:
    if not record.entries or record.entries[-1].at_us < to_us:
        say_note("the export ends before the period does: what came later is not in it")


def _verified(report: Report, verification: str) -> Report:
    return source.with_verification(report, verification)


def _format(form: str) -> Format:
    try:
        return Format(form)
    except ValueError as error:
        msg = f"--format must be one of {', '.join(Format)}, not {form[:40]!r}"
        raise InvalidValueError(msg, field="--format") from error


def _export(file: str) -> tuple[LedgerRecord, str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise InvalidValueError(msg, field="--ledger", code="file_unreadable") from error
    return source.of_export(content.splitlines(keepends=True))


def _write(report: Report, wanted: Format, output: str) -> int:
    content = rendered(report, wanted)
    if output == "-":
        if wanted is Format.PDF and sys.stdout.isatty():
            msg = "a PDF is not for a terminal; name a file with --output"
            raise InvalidValueError(msg, field="--output")
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return 0
    write_whole(Path(output), content, field="--output")
    say_note(f"{len(content):,} bytes are in {output}")
    return 0


def add_schedule(
    database: str | None, name: str, every: str, formats: list[str], *, is_announced: bool, as_json: bool
) -> int:
    """Add a schedule and show it."""
    if every not in set(Every):
        msg = f"--every must be one of {', '.join(Every)}, not {every[:40]!r}"
        raise InvalidValueError(msg, field="--every")
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        report_schedules.add(tx, name=name, every=Every(every), formats=formats, is_announced=is_announced)
        shown = views.get_report_schedule(tx, name) or {}
    if as_json:
        return say_json(shown)
    return say_line(
        f"{name}: the first report is made at {shown['next_at']}, in {platform.settings.reports_in}"
    )


def show_schedules(database: str | None, *, as_json: bool) -> int:
    """Print the schedules."""
    with reading(database) as tx:
        page = views.list_report_schedules(tx)
    if not as_json:
        page = {
            **page,
            "items": [{**one, "last_made_for": days_of(one["last_delivery"])} for one in page["items"]],
        }
    return say_page(page, COLUMNS, as_json=as_json)


def remove_schedule(database: str | None, name: str, *, as_json: bool) -> int:
    """Remove a schedule."""
    with opened_platform(database) as platform, platform.store.write(actor=OPERATOR) as tx:
        report_schedules.remove(tx, name)
    return say_json({"name": name, "removed": True}) if as_json else say_line(f"{name} is removed")


def run_schedule(database: str | None, name: str, *, as_json: bool) -> int:
    """Make what is due of one schedule now and print the files."""
    made = []
    with opened_platform(database) as platform:
        with platform.store.read() as tx:
            waiting = report_schedules.latest_of(tx, report_schedules.existing(tx, name))
        for due in waiting:
            delivered = deliver(platform.store, platform.settings.reports_in, due)
            made += [str(path) for path in delivered.files]
    if as_json:
        return say_json({"name": name, "files": made})
    for path in made:
        say_line(path)
    if not made:
        say_note("nothing is due: the last period that is over was delivered")
    return 0
