"""Scheduled reports, made and put into a folder: a thread beside the bus, and the same by hand.

Stands over the schedules and the renderers. A report is built in a read transaction, its files are written
whole or not at all, and one short write transaction says so: the same period is the same bytes, so a second
process that made it too did no harm. It never writes outside its folder.
"""

import contextlib
import hashlib
import logging
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from app.reports import asking
from app.reports.rendering import Format, rendered
from app.reports.words import cell_text
from services.domain.clock import to_datetime
from services.domain.errors import InvalidValueError
from services.domain.report_model import Report
from services.operations import report_schedules
from services.operations.report_schedules import NAME, Due, Made
from services.store.tx import Store

log = logging.getLogger(__name__)

ACTOR = "system:reports"
POLL_SECONDS = 5.0
STOP_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """One period that was made: whether it is new, and its files."""

    due: Due
    is_new: bool
    files: tuple[Path, ...]


class ReportDelivery:
    """Makes what is due until it is stopped; several, also in other processes, may at once."""

    def __init__(self, store: Store, folder: Path, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._folder = folder
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._tries: Counter[int] = Counter()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more and end after what is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                while self.round() and not self._stopping.is_set():
                    pass
            except Exception:  # named edge: the reports that are due (the database itself refused)
                log.exception("scheduled reports could not be looked at")

    def round(self) -> int:
        """Make the oldest due period of every schedule; return how many were delivered."""
        with self._store.read(actor=ACTOR) as tx:
            waiting = report_schedules.due_now(tx)
        return sum(self._try(due) for due in waiting if not self._stopping.is_set())

    def _try(self, due: Due) -> bool:
        try:
            delivered = deliver(self._store, self._folder, due)
        except Exception as error:  # named edge: one scheduled report (its error is kept and shown)
            log.exception("report %s could not be made", due.name)
            with self._store.write(actor=ACTOR) as tx:
                report_schedules.note_failure(
                    tx, due, f"{type(error).__name__}: {error}", self._tries[due.schedule_id]
                )
            self._tries[due.schedule_id] += 1
            return False
        del self._tries[due.schedule_id]
        return delivered.is_new


def deliver(store: Store, folder: Path, due: Due) -> Delivered:
    """Build one period, write its files, note it; raises what building and writing raise."""
    with store.read(actor=ACTOR) as tx:
        report = asking.period_from_database(tx, due.from_us, due.to_us)
    files, told = [], []
    make_folder(folder)
    for ending in due.formats:
        content = rendered(report, Format(ending))
        path = folder / file_name(due, ending)
        write_whole(path, content)
        files.append(path)
        told.append({"name": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
    with store.write(actor=ACTOR) as tx:
        is_new = report_schedules.note_delivery(tx, due, Made(told, report.size, headline(report)))
    return Delivered(due, is_new, tuple(files))


def headline(report: Report) -> dict[str, str]:
    """Return the headline as label and text, for people who only see the event."""
    return {getattr(cell, "label", ""): cell_text(cell) for cell in report.headline}


def file_name(due: Due, ending: str) -> str:
    """Return `<name>-<first day>--<last day>.<ending>`; ValueError for a name that is none."""
    if NAME.fullmatch(due.name) is None:
        raise ValueError(f"{due.name[:90]!r} is not the name of a schedule")
    first, last = to_datetime(due.from_us), to_datetime(due.to_us - 1)
    return f"{due.name}-{first:%Y-%m-%d}--{last:%Y-%m-%d}.{Format(ending)}"


def make_folder(folder: Path) -> None:
    """Make the folder of the schedules where it is not there; InvalidValueError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"reports cannot be written to {folder}: {error.strerror}"
        raise InvalidValueError(msg, field="output", code="file_unwritable") from error


def write_whole(path: Path, content: bytes, *, field: str = "output") -> None:
    """Write a file so that nobody ever sees half of it; InvalidValueError when that cannot be.

    The folder must be there: none is made for a name that was mistyped.
    """
    if not path.parent.is_dir():
        msg = f"the report cannot be written to {path}: there is no folder {path.parent}"
        raise InvalidValueError(msg, field=field, code="file_unwritable")
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        msg = f"the report cannot be written to {path}: {error.strerror}"
        raise InvalidValueError(msg, field=field, code="file_unwritable") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
